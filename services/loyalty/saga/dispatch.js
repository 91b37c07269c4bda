// From a record to what is to be written because of it. No Kafka client in here.

import { deadLetterHeaders, headersOf, readData, readEnvelope, receipt } from './contract.js'

const REMEMBERED_MAX = 200_000

/** Ids of handled events: what a producer sends twice is handled once, as long as it is remembered. */
export class Memory {
  #ids = new Set()

  has (id) {
    return this.#ids.has(id)
  }

  add (id) {
    this.#ids.add(id)
    if (this.#ids.size > REMEMBERED_MAX) this.#ids.delete(this.#ids.values().next().value)
  }
}

/** Handle a record: `{ messages, receipts, remember }`; nothing at all if it is not for this service. */
export function dispatch (service, record, memory) {
  const headers = new Map([...record.headers].map(([name, value]) => [name, value?.toString() ?? '']))
  // A dead letter that came back is for the service that it names, which may remember the event from before.
  const redrivenFor = headers.get('saga_redrive_for')
  if (redrivenFor && redrivenFor !== service.name) return { messages: [], receipts: [] }
  const replays = headers.get('saga_redrive_replays')
  const atMs = Date.now()
  const began = performance.now()
  let event = null
  let handler = null
  try {
    event = readEnvelope(headers)
    handler = service.handlers.find(each => each.type === event.type && each.topic === record.topic)
    if (!handler) return { messages: [], receipts: [] }
    const remember = [event.source, event.id, ...(replays ? [replays] : [])].join('\0')
    if (memory.has(remember)) {
      const repeat = new Repeat('this service has handled the event before')
      return { messages: [], receipts: [receipt(record, event, handler.name, 'ignored', atMs, 0, repeat)] }
    }
    const message = published(service, handler, event, handler.handle(readData(record.value)), atMs)
    const took = performance.now() - began
    return { messages: [message], receipts: [receipt(record, event, handler.name, 'handled', atMs, took)], remember }
  } catch (error) {
    const name = handler?.name ?? ''
    const took = performance.now() - began
    const message = {
      topic: `saga.dlq.${service.name}`,
      key: record.key,
      value: record.value,
      // Key, value and headers untouched, the reason beside them.
      headers: new Map([...record.headers, ...buffers(deadLetterHeaders(service.name, name, record, error, atMs, replays))])
    }
    return { messages: [message], receipts: [receipt(record, event, name, 'dead-lettered', atMs, took, error)] }
  }
}

function published (service, handler, cause, data, atMs) {
  const { type, topic, key } = handler.publishes
  return {
    topic,
    key: Buffer.from(data[key]),
    value: Buffer.from(JSON.stringify(data)),
    headers: buffers(headersOf(service.name, handler.name, cause, type, atMs))
  }
}

function buffers (headers) {
  return new Map([...headers].map(([name, text]) => [name, Buffer.from(text)]))
}

class Repeat extends Error {}
