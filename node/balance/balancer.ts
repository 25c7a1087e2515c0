/**
 * The loop of a node's balancing: looks when there are new forecasts, or while it is over its
 * threshold, asks the policy, and offers what the policy wants away.
 *
 *   forecasts of a step --jitter--> look -> plan -> for each want: candidates -> Deals.offer
 *   over the threshold now --------/
 *
 * Invariants: one look at a time; at most MAX_NEW_MOVES offers begin in a step, and only while nothing
 * forbids it; what goes on in the daemon's thread goes on in short pieces, which are timed.
 */
import { MAX_NEW_MOVES } from '../../protocols/balance/limits.ts'
import { excessOf } from '../../protocols/balance/paths.ts'
import { type Incurable, type Look, type Plan, plan } from '../../protocols/balance/policy.ts'
import type { Excess, Want } from '../../protocols/balance/types.ts'
import { messageOf } from '../../protocols/fault.ts'
import {
  BALANCE_JITTER_MS,
  BALANCE_REACTIVE_MS,
  MAX_NEGOTIATIONS,
  MOVED_SETTLES_MS
} from '../limits.ts'
import { NODE_KEY } from '../load/keeper-messages.ts'
import type { Clock, Log, Random, Timer } from '../ports.ts'
import type { Bidder } from './bidder.ts'
import { offeredOf } from './deal.ts'
import type { Deals } from './deals.ts'
import { type LookSources, looking, type Surroundings } from './look.ts'
import type { Offering } from './offering.ts'
import { thresholdOf } from './threshold.ts'
import type { Idle } from './types.ts'

export interface BalancerParts {
  /** Of time; `sources.clock` is that of load. */
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly sources: LookSources
  readonly deals: Deals
  readonly bidder: Bidder
  readonly offering: Offering
  readonly isDraining: () => boolean
  /** For a bench that asks what balancing is worth: as if it were paused. */
  readonly isOff: boolean
  /** What copying may use at most; bytes per second of time. */
  readonly bound: () => number | null
}

/** A plan that was made, and of what. */
export interface Planned {
  /** Wall ms of load time. */
  readonly atMs: number
  readonly look: Look
  readonly plan: Plan
  readonly excess: Excess | undefined
}

export class Balancer {
  readonly #parts: BalancerParts
  #last: Planned | undefined
  #stepMs = 0
  /** Offers that began in this step. */
  #begun = 0
  #lookedMs = Number.NEGATIVE_INFINITY
  #timer: Timer | undefined
  #isLooking = false
  #isStopped = false

  constructor(parts: BalancerParts) {
    this.#parts = parts
    const { load, longer } = parts.sources
    load.onForecasts(keys => {
      for (const key of keys) longer.foretold(key, load.forecast(key)?.atMs ?? 0)
      if (keys.includes(NODE_KEY)) this.#foretold()
    })
  }

  get last(): Planned | undefined {
    return this.#last
  }

  /** What no move cures, as the last plan saw it; while something leaves, that is not known yet. */
  incurable(): readonly Incurable[] {
    if (this.#last === undefined || this.#parts.deals.leaving.length > 0) return []
    return this.#last.plan.incurable
  }

  /** Why nothing begins now. */
  idle(): Idle | undefined {
    const { sources, isDraining, isOff } = this.#parts
    const settings = sources.settings()
    if (settings.isPaused || isOff) return 'paused'
    if (isDraining()) return 'draining'
    if (sources.load.forecast(NODE_KEY) === undefined) return 'blind'
    if (thresholdOf(sources.load, settings) === undefined) return 'blind'
    const { moves, bytes } = sources.past.history.ofHour(sources.clock.now())
    if (moves >= settings.movesPerHour) return 'budget'
    if (bytes >= (settings.bytesPerHour ?? Number.POSITIVE_INFINITY)) return 'budget'
    return this.#begun >= MAX_NEW_MOVES ? 'cooling' : undefined
  }

  /** The load of now was looked at. */
  pressed(): void {
    const { sources } = this.#parts
    const limit = thresholdOf(sources.load, sources.settings())
    if (limit === undefined || !sources.pressure.isOver(limit.threshold)) return
    if (sources.clock.monotonicMs() - this.#lookedMs < BALANCE_REACTIVE_MS) return
    void this.look()
  }

  /** What people set changed: what is not begun is not begun, and the plan is another. */
  changed(): void {
    const idle = this.idle()
    if (idle === 'paused' || idle === 'draining') this.#parts.deals.cancelOffers(wordsOf(idle))
    this.#lookIn(0)
  }

  /** What would be done now; moves nothing. */
  planNow(): Planned | undefined {
    const pieces = looking(this.#parts.sources, this.around())
    for (;;) {
      const { done, value } = this.#timed(() => pieces.next())
      if (done === true) return value && this.#timed(() => this.#plannedOf(value))
    }
  }

  /** Never rejects. */
  async look(): Promise<void> {
    if (this.#isLooking || this.#isStopped) return
    this.#isLooking = true
    this.#lookedMs = this.#parts.sources.clock.monotonicMs()
    this.#parts.deals.delay.looked()
    try {
      const look = await this.#looked()
      if (look === undefined || this.#isStopped) return
      this.#last = this.#timed(() => this.#plannedOf(look))
      for (const want of this.#last.plan.wants) this.#begin(want, look)
      this.#lookAgain()
    } catch (error) {
      this.#parts.log.error({ error: messageOf(error) }, 'a look at the balance of this node broke')
    } finally {
      this.#isLooking = false
    }
  }

  around(): Surroundings {
    const { deals, bidder, offering, bound } = this.#parts
    return {
      ...bidder.coming(),
      // Counted as gone from the offer on: a plan that comes meanwhile wants nothing more for it.
      less: deals.leaving,
      busy: volume => deals.busy(volume),
      offered: volume => offeredOf(deals.views, volume),
      peers: offering.peers(),
      refused: deals.refused.volumes,
      refusedAtHome: deals.refusedAtHome.volumes,
      mostChunks: deals.refused.mostChunks,
      copyBytesPerSecond: deals.speed.perSecond(bound()),
      besideMs: deals.delay.ms
    }
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  #foretold(): void {
    const { sources, deals, bidder, random } = this.#parts
    deals.foretold()
    bidder.foretold()
    const atMs = sources.load.forecast(NODE_KEY)?.atMs ?? 0
    // The same step again comes of history that went or came: what follows from it can wait.
    const isNew = atMs > this.#stepMs
    if (isNew) this.#begun = 0
    this.#stepMs = Math.max(this.#stepMs, atMs)
    this.#lookIn(random.fraction() * BALANCE_JITTER_MS + (isNew ? 0 : MOVED_SETTLES_MS))
  }

  #lookIn(delayMs: number): void {
    this.#timer?.cancel()
    if (this.#isStopped) return
    this.#timer = this.#parts.sources.clock.after(delayMs, () => void this.look())
  }

  /** What is above its threshold and was refused is tried again when its pause is over. */
  #lookAgain(): void {
    const { deals, random } = this.#parts
    const refusedMs = this.#last?.excess === undefined ? undefined : deals.refused.leftMs
    if (refusedMs === undefined) return
    this.#lookIn(refusedMs + random.fraction() * BALANCE_JITTER_MS)
  }

  async #looked(): Promise<Look | undefined> {
    const { clock, sources } = this.#parts
    const pieces = looking(sources, this.around())
    for (;;) {
      const { done, value } = this.#timed(() => pieces.next())
      if (done === true) return value
      await new Promise<void>(resolve => clock.soon(resolve))
    }
  }

  #plannedOf(look: Look): Planned {
    const { nowMs, node, settings } = look
    const horizonMs = settings.horizonMinutes * 60_000
    const excess = excessOf('node', node.path, node.threshold, nowMs, horizonMs)
    return { atMs: nowMs, look, plan: plan(look), excess }
  }

  #begin(want: Want, look: Look): void {
    const { deals, offering } = this.#parts
    if (this.idle() !== undefined || deals.offering >= MAX_NEGOTIATIONS) return
    if (this.#timed(() => offering.offer(want, look))) this.#begun += 1
  }

  #timed<T>(piece: () => T): T {
    return this.#parts.sources.load.timed(piece)
  }
}

export function wordsOf(idle: Idle): string {
  const words: Record<Idle, string> = {
    paused: 'balancing is paused',
    draining: 'the node is being drained, or has left',
    budget: 'as much as an hour may move has moved',
    cooling: 'as many moves as a step may begin have begun',
    blind: 'nothing is foretold yet, or it has no threshold'
  }
  return words[idle]
}
