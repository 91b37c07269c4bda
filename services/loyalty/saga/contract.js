// What a service in any language has to know: docs/services.md says it in words. No Kafka client in here.

import { createHash } from 'node:crypto'

const NAMESPACE = Buffer.from('6f4b1d7ac01e4b5f9a62d4a1c7f0e835', 'hex')
const MESSAGE_LENGTH_MAX = 1_000

/** The record is no CloudEvent, or its data is no JSON object: no attempt will ever succeed. */
export class NotAnEvent extends Error {}

/** The id of the index-th event that `handler` (service.function) returns for the event `cause`: a repeat repeats it. */
export function derivedId (cause, handler, index) {
  const hex = createHash('sha1').update(NAMESPACE).update(`${cause}\0${handler}\0${index}`).digest('hex')
  const variant = '89ab'[parseInt(hex[16], 16) & 3]
  const parts = [hex.slice(0, 8), hex.slice(8, 12), `5${hex.slice(13, 16)}`, variant + hex.slice(17, 20), hex.slice(20, 32)]
  return parts.join('-')
}

/** Who an event is, from its headers as texts. Without a correlation id it begins a saga under its own id. */
export function readEnvelope (headers) {
  for (const name of ['ce_id', 'ce_type', 'ce_source']) {
    if (!headers.get(name)) throw new NotAnEvent(`header ${name} is missing: the record is not a CloudEvent`)
  }
  const id = headers.get('ce_id')
  return {
    id,
    type: headers.get('ce_type'),
    source: headers.get('ce_source'),
    saga: headers.get('ce_correlationid') || id,
    traceparent: headers.get('traceparent')
  }
}

/** The data of an event: its value as a JSON object. */
export function readData (value) {
  let data
  try {
    data = JSON.parse(value)
  } catch (error) {
    throw new NotAnEvent(`the value is not JSON: ${error.message}`)
  }
  if (data === null || typeof data !== 'object' || Array.isArray(data)) throw new NotAnEvent('the value is no JSON object')
  return data
}

/** The headers of an event that `handler` of `service` publishes because of `cause`. */
export function headersOf (service, handler, cause, type, atMs) {
  return new Map([
    ['content-type', 'application/json'],
    ['ce_specversion', '1.0'],
    ['ce_id', derivedId(cause.id, `${service}.${handler}`, 0)],
    ['ce_source', service],
    ['ce_type', type],
    ['ce_time', new Date(atMs).toISOString()],
    ['ce_correlationid', cause.saga],
    ['ce_causationid', cause.id],
    ...(cause.traceparent ? [['traceparent', cause.traceparent]] : [])
  ])
}

/** What a handler did with a record, in one attempt. `event` is its envelope, or null if it has none. */
export function receipt (record, event, handler, outcome, atMs, durationMs, error) {
  return {
    event: event?.id ?? null,
    saga: event?.saga ?? null,
    type: event?.type ?? null,
    handler,
    outcome,
    at_ms: atMs,
    duration_ms: durationMs,
    topic: record.topic,
    partition: record.partition,
    offset: Number(record.offset),
    ...(error ? { failure: failure(error) } : {})
  }
}

/** The headers that a dead letter has besides its own. */
export function deadLetterHeaders (service, handler, record, error, atMs, replays = '0') {
  return new Map([
    ['__streams.errors.exception', failure(error).type],
    ['__streams.errors.message', failure(error).message],
    ['__streams.errors.topic', record.topic],
    ['__streams.errors.partition', String(record.partition)],
    ['__streams.errors.offset', String(record.offset)],
    ['saga_dlq_service', service],
    ['saga_dlq_handler', handler],
    ['saga_dlq_attempts', '1'],
    ['saga_dlq_first_failed_ms', String(atMs)],
    ['saga_dlq_failed_ms', String(atMs)],
    ['saga_dlq_replays', replays]
  ])
}

/** What a service tells of itself on `saga.services`. */
export function announcement (service) {
  return {
    service: service.name,
    subscribes: service.handlers.map(({ type, topic, name }) => ({ type, topic, handler: name })),
    publishes: service.handlers.map(({ publishes: { type, topic }, name }) => ({ type, topic, handler: name })),
    guarantee: 'exactly-once',
    description: service.description
  }
}

function failure (error) {
  return { type: error.constructor.name, message: String(error.message).slice(0, MESSAGE_LENGTH_MAX) }
}
