/**
 * When to sync with whom: soon after a connection or a gap, and with a random peer at intervals,
 * always jittered, so that a mesh that comes back at once does not talk at once.
 *
 * Invariants: a peer is synced with by one task at a time; tasks and the queue are bounded; a
 * failed sync is simply tried again at some later interval.
 */
import { isFault, messageOf } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import {
  MAP_SYNC_INTERVAL_MS,
  MAP_SYNC_SOON_MS,
  MAP_SYNCS_RUNNING,
  MAP_SYNCS_WAITING
} from '../limits.ts'
import type { Clock, Log, Network, Random, Timer } from '../ports.ts'

export interface ScheduleOptions {
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly syncWith: (peer: NodeId) => Promise<void>
  /** Called at every interval, before its sync. */
  readonly onInterval: () => void
}

export class Schedule {
  readonly #options: ScheduleOptions
  readonly #timers = new Map<NodeId, Timer>()
  readonly #waiting = new Set<NodeId>()
  readonly #running = new Set<NodeId>()
  #interval: Timer | undefined
  #isClosed = false

  constructor(options: ScheduleOptions) {
    this.#options = options
    options.network.onPeer((peer, connected) => {
      if (connected) this.soon(peer)
    })
    for (const peer of options.network.peers()) this.soon(peer)
    this.#arm()
  }

  /** Syncs with `peer` within so many milliseconds; several requests are one. */
  soon(peer: NodeId, withinMs = MAP_SYNC_SOON_MS): void {
    const { clock, random } = this.#options
    if (this.#isClosed || this.#timers.has(peer) || this.#waiting.has(peer)) return
    if (this.#timers.size + this.#waiting.size >= MAP_SYNCS_WAITING) return
    const timer = clock.after(random.fraction() * withinMs, () => {
      this.#timers.delete(peer)
      this.#waiting.add(peer)
      this.#startSome()
    })
    this.#timers.set(peer, timer)
  }

  close(): void {
    this.#isClosed = true
    this.#interval?.cancel()
    for (const timer of this.#timers.values()) timer.cancel()
    this.#timers.clear()
    this.#waiting.clear()
  }

  #arm(): void {
    const { clock, random } = this.#options
    this.#interval = clock.after((1 + random.fraction()) * MAP_SYNC_INTERVAL_MS, () => {
      if (this.#isClosed) return
      this.#arm()
      this.#options.onInterval()
      const peers = this.#options.network.peers()
      const peer = peers[Math.floor(random.fraction() * peers.length)]
      if (peer !== undefined) this.soon(peer)
    })
  }

  #startSome(): void {
    for (const peer of this.#waiting) {
      if (this.#isClosed || this.#running.size >= MAP_SYNCS_RUNNING) return
      if (this.#running.has(peer)) continue
      this.#waiting.delete(peer)
      this.#running.add(peer)
      void this.#run(peer)
    }
  }

  async #run(peer: NodeId): Promise<void> {
    const { log, syncWith } = this.#options
    try {
      await syncWith(peer)
    } catch (error) {
      const isWeather = isFault(error)
      const fields = { peer, error: messageOf(error) }
      if (isWeather) log.debug(fields, 'could not sync the map')
      else log.error(fields, 'syncing the map failed')
    } finally {
      this.#running.delete(peer)
      this.#startSome()
    }
  }
}
