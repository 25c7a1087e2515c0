/**
 * What moving data between two regions costs, as people set it per pair; absent: the default, which
 * is 0 within a region and 1 between two.
 *
 * Invariant: a pair has no direction, and is listed with the lesser name first.
 */

/** A factor on what is copied; `never`: nothing moves there. */
export type LinkFactor = number | 'never'

export interface LinkCost {
  readonly a: string
  readonly b: string
  readonly factor: LinkFactor
}

const DEFAULT_FACTOR = 1

/** The pair in the order in which it is listed. */
export function linkPair(one: string, other: string): { readonly a: string; readonly b: string } {
  return one <= other ? { a: one, b: other } : { a: other, b: one }
}

export function defaultLinkFactor(one: string, other: string): number {
  return one === other ? 0 : DEFAULT_FACTOR
}

/** Between two regions, or within one if both are the same. */
export function linkFactor(links: readonly LinkCost[], one: string, other: string): LinkFactor {
  const { a, b } = linkPair(one, other)
  const said = links.find(link => link.a === a && link.b === b)
  return said?.factor ?? defaultLinkFactor(one, other)
}
