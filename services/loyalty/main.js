// Runs the service: node main.js. Settings are those of the Python services.

import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { loyalty } from './handlers.js'
import { prepare, session } from './saga/session.js'

const AGAIN_MS = 1_000

const settings = {
  brokers: (process.env.SAGA_BOOTSTRAP_SERVERS ?? '127.0.0.1:9092').split(','),
  partitions: Number(process.env.SAGA_TOPIC_PARTITIONS ?? 8),
  replicas: Number(process.env.SAGA_TOPIC_REPLICAS ?? 1),
  instance: process.env.SAGA_INSTANCE || randomUUID()
}

const stop = new AbortController()
for (const name of ['SIGINT', 'SIGTERM']) process.once(name, () => stop.abort())

let prepared = false
while (!stop.signal.aborted) {
  try {
    if (!prepared) await prepare(loyalty, settings)
    prepared = true
    await session(loyalty, settings, stop.signal)
  } catch (error) {
    console.error(`${loyalty.name} starts over: ${error.message}`, error.errors?.map(each => each.message) ?? '')
    await delay(AGAIN_MS, undefined, { signal: stop.signal }).catch(() => {})
  }
}
console.log(`${loyalty.name} has stopped`)
