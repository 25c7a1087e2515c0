/**
 * Starts the keeper's thread, and starts it anew if it breaks: what it held is read from its files.
 */
import { Worker } from 'node:worker_threads'
import { messageOf } from '../../protocols/fault.ts'
import { KEEPER_RESTART_MAX_MS, KEEPER_RESTART_MIN_MS, KEEPER_STOP_MS } from '../limits.ts'
import type { Clock, Log, Timer } from '../ports.ts'
import type { FromKeeper, KeeperPort, KeeperWire } from './keeper-port.ts'
import type { KeeperData } from './keeper-thread.ts'
import { packed } from './tick-codec.ts'

export interface KeeperThreadOptions extends KeeperData {
  readonly clock: Clock
  readonly log: Log
  readonly port: KeeperPort
  /** A keeper that knows nothing yet is there: tell it which shards there are. */
  readonly onStart: () => void
}

/** Closes when the keeper has written what it knows. */
export function runKeeperThread(options: KeeperThreadOptions): { close: () => Promise<void> } {
  const thread = new KeeperThread(options)
  thread.start()
  return thread
}

class KeeperThread {
  readonly #options: KeeperThreadOptions
  #worker: Worker | undefined
  #pauseMs = KEEPER_RESTART_MIN_MS
  #startedMs = 0
  #retry: Timer | undefined
  #isClosed = false

  constructor(options: KeeperThreadOptions) {
    this.#options = options
  }

  start(): void {
    const { dir, seed, scale, port, log, clock } = this.#options
    this.#startedMs = clock.monotonicMs()
    this.#retry = undefined
    const worker = new Worker(new URL('./keeper-thread.js', import.meta.url), {
      workerData: { dir, seed, scale } satisfies KeeperData,
      name: 'load keeper'
    })
    this.#worker = worker
    worker.unref()
    worker.on('message', (message: FromKeeper | 'stopped') => {
      if (message !== 'stopped') port.receive(message)
    })
    worker.on('error', error => {
      log.error({ error: messageOf(error) }, 'the load keeper failed; it starts anew')
    })
    worker.once('exit', () => this.#ended(worker))
    port.connect(wireOf(worker, clock))
    this.#options.onStart()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#retry?.cancel()
    this.#worker = undefined
    await this.#options.port.close()
  }

  #ended(worker: Worker): void {
    if (this.#worker !== worker || this.#isClosed) return
    const { port, clock } = this.#options
    port.lost()
    // One that fails soon after its start says something before it does.
    const livedMs = clock.monotonicMs() - this.#startedMs
    if (livedMs > KEEPER_RESTART_MAX_MS) this.#pauseMs = KEEPER_RESTART_MIN_MS
    this.#retry = clock.after(this.#pauseMs, () => this.start())
    this.#pauseMs = Math.min(KEEPER_RESTART_MAX_MS, this.#pauseMs * 2)
  }
}

function wireOf(worker: Worker, clock: Clock): KeeperWire {
  return {
    send: message => worker.postMessage(packed(message)),
    close: async () => {
      // Kept alive for its last write, but not for ever.
      const exited = new Promise<void>(resolve => worker.once('exit', () => resolve()))
      worker.ref()
      worker.postMessage('stop')
      const timer = clock.after(KEEPER_STOP_MS, () => void worker.terminate())
      await exited
      timer.cancel()
    }
  }
}
