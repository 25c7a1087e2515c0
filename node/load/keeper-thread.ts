/**
 * The thread of the load keeper: files, forecasts and training, away from the data path and behind
 * it. Its own priority is lowered where a thread has one of its own, as on Linux.
 */
import { setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../../protocols/assert.ts'
import { systemClock } from '../clock.ts'
import type { ClockScale } from '../ports.ts'
import { scaledClock } from '../scaled-clock.ts'
import { LoadKeeper } from './keeper.ts'
import type { KeeperNews } from './keeper-messages.ts'
import { KeeperRunner } from './keeper-runner.ts'
import { openSeriesFiles } from './series-files.ts'
import { type OnWire, unpacked } from './tick-codec.ts'

/** Of the niceness of Unix: behind whatever serves clients, but not starved by it. */
const NICENESS = 10

export interface KeeperData {
  readonly dir: string
  readonly seed: number
  /** Of the load clock, if it is not time itself. */
  readonly scale?: ClockScale | undefined
}

const port = parentPort
assert(port !== null, 'the keeper runs in a thread of its own')
try {
  // Elsewhere it would be that of the whole daemon.
  if (process.platform === 'linux') setPriority(NICENESS)
} catch {
  // Only a wish: some systems forbid it.
}
const { dir, seed, scale } = workerData as KeeperData
const loadClock = scale === undefined ? systemClock : scaledClock(scale, systemClock)
const keeper = new LoadKeeper({
  files: openSeriesFiles(dir),
  seed,
  now: loadClock.now,
  send: (news: KeeperNews) => port.postMessage(news)
})
const runner = new KeeperRunner(keeper, systemClock, message => port.postMessage(message))
port.on('message', (message: OnWire | 'stop') => {
  if (message !== 'stop') return runner.receive(unpacked(message))
  runner.stop()
  port.postMessage('stopped')
  port.close()
})
