/**
 * What moving data between two regions costs, as people set it.
 *
 *   link/<a>/<b>   the greatest (counter, by) counts; without a factor the default holds again
 *
 * Invariants: a pair is written with the lesser name first (protocols/balance/links.ts), and a region
 * may be paired with itself. No record is removed: a default that comes back is a later record.
 */
import { z } from 'zod'
import type { LinkCost, LinkFactor } from '../protocols/balance/links.ts'
import type { NodeId } from '../protocols/ids.ts'
import { isCounter, isName, isNodeId } from '../protocols/ids.ts'
import { MAX_LINK_FACTOR } from './limits.ts'
import type { Kind } from './record-codec.ts'

export interface LinkRecord {
  readonly kind: 'link'
  readonly a: string
  readonly b: string
  readonly counter: number
  readonly by: NodeId
  /** Absent: the default again. */
  readonly factor?: LinkFactor | undefined
}

const region = z.custom<string>(isName)

export const linkKind: Kind = {
  kind: 'link',
  fields: ['a', 'b', 'counter', 'by', 'factor'],
  schema: z
    .strictObject({
      kind: z.literal('link'),
      a: region,
      b: region,
      counter: z.custom<number>(isCounter),
      by: z.custom<NodeId>(isNodeId),
      factor: z.union([z.number().min(0).max(MAX_LINK_FACTOR), z.literal('never')]).optional()
    })
    .refine(record => record.a <= record.b)
}

export function linkGroup({ a, b }: { readonly a: string; readonly b: string }): string {
  return `link/${a}/${b}`
}

/** Those that differ from the default, in order of their pairs. */
export function linksOf(records: readonly LinkRecord[]): LinkCost[] {
  return records
    .flatMap(({ a, b, factor }) => (factor === undefined ? [] : [{ a, b, factor }]))
    .sort((one, other) => (linkGroup(one) < linkGroup(other) ? -1 : 1))
}
