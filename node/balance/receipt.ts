/** The receipt of a move as it begins: why, among whom, at what cost. */
import type { Receipt } from '../../protocols/balance/receipt.ts'
import type { LoadPath, Want } from '../../protocols/balance/types.ts'
import type { NodeId } from '../../protocols/ids.ts'
import type { Started } from './negotiation.ts'
import { whyOf } from './sentences.ts'

export interface Decided {
  readonly id: string
  readonly self: NodeId
  readonly want: Want
  readonly started: Pick<Started, 'to' | 'alternatives'>
  /** Wall ms of load time. */
  readonly decidedAt: number
}

export function receiptOf({ id, self, want, started, decidedAt }: Decided): Receipt {
  const { volume, chunks, bytes, reason, excess, benefit, cost, copyMs, path } = want
  return {
    ...{ id, keptBy: 'source', source: self, target: started.to, volume },
    ...{ chunks: chunks.length, bytes, reason, why: whyOf(want), decidedAt, state: 'open' },
    ...(excess !== undefined && {
      predicted: {
        ...excess,
        movedHighPeak: peakOf(path, 'high'),
        movedExpectedPeak: peakOf(path, 'expected')
      }
    }),
    alternatives: started.alternatives,
    cost: { benefit, cost, copyMs }
  }
}

export function peakOf(path: LoadPath, line: 'expected' | 'high'): number {
  return path[line].reduce((peak, load) => Math.max(peak, load), 0)
}
