/** The real clock and the real randomness. */
import { randomBytes } from 'node:crypto'
import type { Clock, Random } from './ports.ts'

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: (delayMs, task) => {
    const timer = setTimeout(task, delayMs).unref()
    return { cancel: () => clearTimeout(timer) }
  },
  soon: task => {
    setImmediate(task)
  }
}

export const systemRandom: Random = {
  bytes: length => randomBytes(length),
  fraction: () => Math.random()
}
