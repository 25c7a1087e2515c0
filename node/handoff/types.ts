/** Handoffs as the rest of a node uses them. Implemented by handoffs.ts. */
import type { ChunkKey, HandoffId, NodeId, PlacementEpoch } from '../../protocols/ids.ts'

export interface HandoffWish {
  readonly chunk: ChunkKey
  readonly to: NodeId
  /** Aborted: stops what is not committed. */
  readonly signal: AbortSignal
  readonly onProgress: (progress: HandoffProgress) => void
}

export interface HandoffProgress {
  readonly phase: 'offering' | 'copying' | 'cutover' | 'releasing'
  /** Allocated bytes of the chunk when it began, and how many of them are at the target. */
  readonly totalBytes: number
  readonly sentBytes: number
}

export type HandoffEnd =
  | {
      readonly is: 'passed'
      /** Sent, changed blocks counted each time. */
      readonly bytes: number
      /** From the first refused change to the moment in which the target served. */
      readonly pauseMs: number
    }
  | { readonly is: 'failed'; readonly why: string; readonly mayRetry: boolean }

export interface Handoffs {
  /** Passes one replica that is held here to another node. Never rejects. */
  pass: (wish: HandoffWish) => Promise<HandoffEnd>
  counts: () => { readonly sending: number; readonly receiving: number }
  /** What stands in the way of a handoff that must be finished, in words. */
  problems: () => string[]
  close: () => Promise<void>
}

/** What the copier asks before it sends: resolves when so many bytes may go. */
export interface Pace {
  /** Clients are active here: what takes the event loop for long delays them. */
  readonly isShared: boolean
  take: (bytes: number) => Promise<void>
}

/** What an earlier start committed and did not finish. */
export interface Resumed {
  readonly chunk: ChunkKey
  readonly handoff: HandoffId
  readonly to: NodeId
  readonly epoch: PlacementEpoch
}
