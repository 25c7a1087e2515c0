/**
 * The documents of the control API about balancing: what nodes say of it, receipts of moves, and
 * what explains them. Loads in units per second, times in wall milliseconds of load time.
 * docs/control-api.md describes them.
 */
import type {
  PlanMessage,
  SettingsMessage,
  StatusMessage
} from '../../protocols/balance/messages.ts'
import type { Receipt } from '../../protocols/balance/receipt.ts'
import type { ScoreTotals } from '../../protocols/balance/score.ts'
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import type { MoveDocument } from './documents.ts'
import type { AheadDocument, ThresholdDocument } from './load-documents.ts'

export interface NamedNode {
  readonly node: NodeId
  readonly name: string
}

export interface NodeBalanceDocument
  extends NamedNode,
    Omit<StatusMessage, 'underWay' | 'promises' | 'incurable'> {
  readonly region: string
  readonly underWay: ReadonlyArray<
    StatusMessage['underWay'][number] & { readonly volumeName: string; readonly toName?: string }
  >
  readonly promises: ReadonlyArray<
    StatusMessage['promises'][number] & { readonly volumeName: string; readonly fromName: string }
  >
  readonly incurable: readonly IncurableDocument[]
  /** Of this node, over the same days as that of the mesh. */
  readonly score: ScoreTotals
}

export type IncurableDocument = StatusMessage['incurable'][number] & {
  readonly volumeName?: string
}

export interface ScoreDocument {
  readonly days: number
  readonly since: number
  /** The sum over the nodes that answered. */
  readonly totals: ScoreTotals
}

/** GET /v1/balance?days=N */
export interface BalanceDocument {
  readonly nodes: readonly NodeBalanceDocument[]
  readonly score: ScoreDocument
  /** Names of nodes that did not answer: the score is without theirs. */
  readonly silent: readonly string[]
  /** The time zone of the node that was asked. */
  readonly zone: string
}

/** POST /v1/balance */
export interface BalanceSetDocument {
  readonly nodes: ReadonlyArray<NamedNode & { readonly settings: SettingsMessage }>
  readonly refused: ReadonlyArray<NamedNode & { readonly why: string }>
  readonly silent: readonly string[]
}

export type PlannedDocument = Omit<PlanMessage['wants'][number], 'candidates'> & {
  readonly volumeName: string
  readonly candidates: readonly AlternativeDocument[]
}

export type NodePlanDocument = NamedNode &
  Omit<PlanMessage, 'wants' | 'incurable'> & {
    readonly wants: readonly PlannedDocument[]
    readonly incurable: readonly IncurableDocument[]
  }

/** GET /v1/balance/plan?node=N */
export interface PlanDocument {
  readonly nodes: readonly NodePlanDocument[]
  readonly silent: readonly string[]
  readonly zone: string
}

export type AlternativeDocument = PlanMessage['wants'][number]['candidates'][number] & {
  readonly name: string
  readonly region: string
}

export type ReceiptDocument = Omit<Receipt, 'alternatives'> & {
  readonly sourceName: string
  readonly targetName: string
  readonly volumeName: string
  readonly alternatives: readonly AlternativeDocument[]
  /** When what really happened can be said; absent: it was said, or will not be. */
  readonly judgedFrom?: number
}

/** GET /v1/receipts?sinceMs=T&volume=V&limit=N */
export interface ReceiptsDocument {
  readonly receipts: readonly ReceiptDocument[]
  readonly silent: readonly string[]
}

/** GET /v1/moves/:id */
export interface MoveDetailDocument {
  readonly kind: 'move'
  readonly id: string
  /** The time zone of its volume, or of the node that was asked where none is known. */
  readonly zone: string
  readonly at: number
  /** The one of its source, or that of its target if its source does not answer. */
  readonly receipt?: ReceiptDocument
  /** Names of the nodes that keep one. */
  readonly keptBy: readonly string[]
  /** As its source lists it, while it does. */
  readonly move?: MoveDocument
  readonly silent: readonly string[]
}

/** What one node has of a volume, and how it is there. */
export interface PlaceDocument extends NamedNode {
  readonly region: string
  readonly chunks: number
  /** Of the shard, if the node answers. */
  readonly load?: number
  readonly ahead?: readonly AheadDocument[]
  readonly threshold?: ThresholdDocument
  readonly roundTripMs?: number
  /** Of the node. */
  readonly balance?: NodeBalanceDocument
  /** What its node would do with this volume now, and why; empty: it would leave it. */
  readonly wants: readonly PlannedDocument[]
  readonly incurable: readonly IncurableDocument[]
}

/** GET /v1/explain?subject=S, for a volume or VOLUME@NODE; for a move a MoveDetailDocument. */
export interface ShardExplainDocument {
  readonly kind: 'shard' | 'volume'
  readonly subject: string
  readonly volume: VolumeId
  readonly volumeName: string
  readonly zone: string
  readonly at: number
  readonly createdAt: number
  /** Region or node that it was to be near, as its creator said. */
  readonly near?: string
  /** The gateway that has it attached. */
  readonly holder?: NamedNode & { readonly region: string }
  readonly places: readonly PlaceDocument[]
  /** What moved into, out of or between these places; the youngest decision first. */
  readonly receipts: readonly ReceiptDocument[]
  readonly silent: readonly string[]
}

export type ExplainDocument = MoveDetailDocument | ShardExplainDocument
