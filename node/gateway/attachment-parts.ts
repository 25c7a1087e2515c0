/** What an attachment is made of, and asks of its gateway. */

import type { Granted } from '../../protocols/attach/machine.ts'
import type { ObserveStep } from '../../protocols/handoff/steps.ts'
import type { NodeId, Nonce, Token } from '../../protocols/ids.ts'
import type { Layout } from './layout.ts'
import type { LinksParts } from './links.ts'
import type { OutcomeCalls, ShardCalls } from './shard-calls.ts'

export type AttachmentParts = Pick<LinksParts, 'clock' | 'random' | 'log' | 'options' | 'open'> & {
  readonly granted: Granted
  readonly calls: ShardCalls
  readonly outcomes: OutcomeCalls
  readonly observe: ObserveStep
  /** Asks all shards, and takes a token after one that a mover may have overtaken. */
  readonly openAgain: (wish: Reopening, signal: AbortSignal) => Promise<Granted>
  /** The attachment goes on under a new token. */
  readonly regained: (token: Token, since: number) => void
  /** Nodes that hold chunks by the map as it is here. */
  readonly named: () => readonly NodeId[]
  /** Monotonic ms between looks at what waits. */
  readonly sweepMs: number
  /** The volume grew, durably on all shards. */
  readonly grown: (before: Layout, after: Layout, token: Token) => void
}

export interface Reopening {
  readonly after: Token
  readonly attach: Nonce
  readonly since: number
  /** Where the chunks were. */
  readonly nodes: ReadonlySet<NodeId>
}
