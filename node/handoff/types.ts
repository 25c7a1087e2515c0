/** What drives handoffs, as the moves above it and the copier below it see it. Plain types. */
import type { ChunkKey, NodeId } from '../../protocols/ids.ts'

export interface HandoffWish {
  readonly chunk: ChunkKey
  readonly to: NodeId
  readonly signal: AbortSignal
  readonly onProgress: (progress: HandoffProgress) => void
}

export interface HandoffProgress {
  readonly phase: 'offering' | 'copying' | 'cutover' | 'releasing'
  readonly totalBytes: number
  readonly sentBytes: number
}

export type HandoffEnd =
  | { readonly is: 'passed'; readonly bytes: number; readonly pauseMs: number }
  | { readonly is: 'failed'; readonly why: string; readonly mayRetry: boolean }

export interface Handoffs {
  /** Passes one replica on. Never rejects. */
  pass: (wish: HandoffWish) => Promise<HandoffEnd>
  /** Handoffs in flight here, either role. */
  counts: () => { readonly sending: number; readonly receiving: number }
  close: () => Promise<void>
}

/** What the copier asks before it sends: resolves when so many bytes may go. */
export interface Pace {
  take: (bytes: number) => Promise<void>
}
