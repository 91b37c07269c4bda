// Poll, dispatch, commit: each batch is one Kafka transaction of events, receipts, dead letters and offsets.

import { Admin, Consumer, Producer, stringDeserializer, stringSerializer } from '@platformatic/kafka'
import { announcement } from './contract.js'
import { dispatch, Memory } from './dispatch.js'

const RECEIPTS_TOPIC = 'saga.receipts'
const SERVICES_TOPIC = 'saga.services'
const COMPACTED = [{ name: 'cleanup.policy', value: 'compact' }]
const BATCH_MAX = 500
const READ_COMMITTED = 1
// The client's own defaults are 0, which Kafka takes for another producer and refuses. -1 takes over from a
// predecessor of the same instance: its open transaction is aborted.
const WHOEVER_WAS_HERE = { producerId: -1n, producerEpoch: -1 }

/** Make the topics that do not exist yet, and tell who we are. */
export async function prepare (service, settings) {
  const admin = new Admin({ clientId: service.name, bootstrapBrokers: settings.brokers })
  try {
    const topics = service.handlers.flatMap(handler => [handler.topic, handler.publishes.topic])
    for (const topic of new Set([...topics, `saga.dlq.${service.name}`, RECEIPTS_TOPIC])) {
      await made(admin, { topics: [topic], partitions: settings.partitions, replicas: settings.replicas })
    }
    await made(admin, { topics: [SERVICES_TOPIC], partitions: 1, replicas: settings.replicas, configs: COMPACTED })
  } finally {
    await admin.close()
  }
  const producer = newProducer(service, settings, { idempotent: true })
  try {
    const value = Buffer.from(JSON.stringify(announcement(service)))
    await producer.send({ messages: [{ topic: SERVICES_TOPIC, key: Buffer.from(service.name), value }] })
  } finally {
    await producer.close()
  }
}

/** Handle records until the signal; throws what Kafka refuses: a new session begins behind the last commit. */
export async function session (service, settings, signal) {
  const producer = newProducer(service, settings, {
    idempotent: true,
    transactionalId: `saga-${service.name}-${settings.instance}`
  })
  const consumer = new Consumer({
    clientId: service.name,
    groupId: service.name,
    bootstrapBrokers: settings.brokers,
    deserializers: { headerKey: stringDeserializer },
    isolationLevel: READ_COMMITTED,
    autocommit: false,
    sessionTimeout: 10_000,
    heartbeatInterval: 1_000
  })
  try {
    const topics = [...new Set(service.handlers.map(handler => handler.topic))]
    const stream = await consumer.consume({ topics, mode: 'committed', fallbackMode: 'earliest' })
    console.log(`${service.name} is running`)
    const memory = new Memory()
    const close = () => stream.close().catch(() => {}) // what was read is committed first
    signal.addEventListener('abort', close, { once: true })
    try {
      if (signal.aborted) return
      for await (const batch of batches(stream)) {
        await handle(service, settings, batch, { consumer, producer, memory })
      }
    } finally {
      signal.removeEventListener('abort', close)
      await close()
    }
  } finally {
    await consumer.close(true)
    await producer.close(true)
  }
}

async function handle (service, settings, batch, { consumer, producer, memory }) {
  const messages = []
  const receipts = []
  const last = new Map() // by partition: its offset stands for those before it
  for (const record of batch) {
    const outcome = dispatch(service, record, memory)
    messages.push(...outcome.messages)
    receipts.push(...outcome.receipts)
    if (outcome.remember) memory.add(outcome.remember) // a session that fails takes its memory along
    last.set(`${record.topic} ${record.partition}`, record)
  }
  if (receipts.length) {
    const value = { service: service.name, instance: settings.instance, receipts }
    messages.push({ topic: RECEIPTS_TOPIC, value: Buffer.from(JSON.stringify(value)) })
  }
  const transaction = await producer.beginTransaction(WHOEVER_WAS_HERE)
  try {
    await transaction.addConsumer(consumer)
    if (messages.length) await transaction.send({ messages })
    // With the generation of our group: Kafka refuses offsets of partitions that are no longer ours.
    for (const record of last.values()) await transaction.addOffset(record)
    await transaction.commit()
  } catch (error) {
    await transaction.abort().catch(() => {}) // what made it fail is what matters
    throw error
  }
}

/** What has been read, in batches; ends when the stream is closed. */
async function * batches (stream) {
  for await (const first of stream) {
    const batch = [first]
    let record
    while (batch.length < BATCH_MAX && (record = stream.read()) !== null) batch.push(record)
    yield batch
  }
}

function newProducer (service, settings, options) {
  return new Producer({
    clientId: service.name,
    bootstrapBrokers: settings.brokers,
    serializers: { headerKey: stringSerializer },
    ...options
  })
}

async function made (admin, topic) {
  try {
    await admin.createTopics(topic)
  } catch (error) {
    if (!error.findBy?.('apiId', 'TOPIC_ALREADY_EXISTS')) throw error
  }
}
