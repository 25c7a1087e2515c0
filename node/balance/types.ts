/**
 * Balancing as the daemon, its control API and the other nodes see it. Plain types; balancer.ts is
 * the loop behind them.
 *
 * Invariant: nothing here moves anything but `set`, which says whether and how the loop may.
 */
import type { Alternative, Receipt } from '../../protocols/balance/receipt.ts'
import type { NodeSettings } from '../../protocols/balance/settings.ts'
import type { Excess, Want } from '../../protocols/balance/types.ts'
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import type { Move } from '../../protocols/moves/messages.ts'

export type { NodeSettings } from '../../protocols/balance/settings.ts'

/**
 * By what a node decides. As shipped it is predictive; a bench compares that with nodes that know of
 * no load to come, and with nodes that move nothing. People pause it instead.
 */
export type BalanceMode = 'predictive' | 'reactive' | 'off'

/** What is absent stays; null takes a bound away. */
export interface NodeSettingsChange {
  readonly isPaused?: boolean
  readonly thresholdPart?: number
  readonly horizonMinutes?: number
  readonly movesPerHour?: number
  readonly bytesPerHour?: number | null
  readonly regions?: readonly string[] | null
}

/**
 * Why the loop begins nothing now.
 *
 * - paused: people said so
 * - draining: the node is being emptied on purpose, or has left
 * - budget: as many moves, or bytes, as an hour may have
 * - cooling: shortly after a move, or after offers that nobody took
 * - blind: there is no forecast yet, or no threshold that one could exceed
 */
export type Idle = 'paused' | 'draining' | 'budget' | 'cooling' | 'blind'

/** Something that no move cures, or none that is allowed. */
export interface IncurableView {
  /** Absent: the node as a whole. */
  readonly volume?: VolumeId
  readonly why: string
  readonly excess?: Excess
}

/** A negotiation, or the move that it led to. */
export interface UnderWay {
  /** The id of the move; also of the negotiation before it. */
  readonly id: string
  readonly volume: VolumeId
  readonly reason: Want['reason']
  readonly at: 'offering' | 'moving' | 'settling'
  /** Once somebody was awarded. */
  readonly to?: NodeId
  /** Wall ms of load time. */
  readonly since: number
  readonly bytes: number
}

/** What this node has promised to take and does not hold yet. */
export interface PromiseView {
  readonly id: string
  readonly from: NodeId
  readonly volume: VolumeId
  readonly bytes: number
  /** Greatest high quantile of its load. */
  readonly highPeak: number
  readonly at: 'offered' | 'awarded'
}

export interface BalanceStatus {
  /** Wall ms of load time. */
  readonly at: number
  readonly settings: NodeSettings
  /** Absent: it begins what it finds worth it. */
  readonly idle?: Idle
  /** Units per second: of the last seconds, what the node can do, and what it should not exceed. */
  readonly load: number
  readonly capacity?: number
  readonly threshold?: number
  readonly thresholdFrom?: 'capacity' | 'usual'
  /** When the plan was made last; absent: never since the start. */
  readonly plannedAt?: number
  /** Of the node, as the last plan saw it. */
  readonly excess?: Excess
  readonly incurable: readonly IncurableView[]
  readonly underWay: readonly UnderWay[]
  readonly promises: readonly PromiseView[]
  /** Of the present hour. */
  readonly movesLeft: number
  readonly bytesLeft?: number
  /** In words, the worst first. */
  readonly problems: readonly string[]
}

/** In short. */
export interface BalanceState {
  readonly isPaused: boolean
  readonly idle?: Idle
  /** How many. */
  readonly underWay: number
  readonly promises: number
  readonly movesLeft: number
}

/** One want of a plan, and who would be asked. */
export interface PlannedWant {
  readonly want: Want
  /** In a sentence: what was foretold, and what it is worth. */
  readonly why: string
  /** The best first, as far as gossip tells; who is unfit says why. */
  readonly candidates: readonly Alternative[]
}

/** What the node would do now and why. Making it moves nothing and asks nobody. */
export interface PlanView {
  readonly at: number
  readonly idle?: Idle
  readonly excess?: Excess
  readonly wants: readonly PlannedWant[]
  readonly incurable: readonly IncurableView[]
  /** What could have moved and was left where it is, and why, in words. */
  readonly left: readonly string[]
}

/**
 * Whoever keeps receipts (receipts.ts), as the loop and the bidder tell it. All return at once, and
 * none throws: a move does not fail because of its receipt.
 */
export interface ReceiptDesk {
  /** An award was given (source), or taken (target): the move is about to begin. */
  readonly opened: (receipt: Receipt) => void
  /** The move of a source is queued; people's moves and drains, too, are told from here on. */
  readonly started: (move: Move) => void
  /** The move of a source ended, whoever wanted it. */
  readonly ended: (move: Move) => void
  /** At a target: what its source says became of it. `atMs`: wall ms of load time. */
  readonly settled: (id: string, state: 'done' | 'failed' | 'cancelled', atMs: number) => void
}

export interface Balance {
  readonly status: () => BalanceStatus
  /** Durable when it resolves. Throws ShoalError BAD_INPUT or IO_ERROR. */
  readonly set: (change: NodeSettingsChange) => Promise<NodeSettings>
  readonly plan: () => PlanView
  /** What a person should know, in words. */
  readonly problems: () => readonly string[]
  readonly close: () => Promise<void>
}
