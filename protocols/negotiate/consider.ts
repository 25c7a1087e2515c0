/**
 * Of the peers that gossip tells of, those that a source looks at before it asks a few: all that
 * are near (whose loads it knows freshly), and others by chance, up to a bound. So the cost of a
 * decision does not grow with the mesh, and sources that look at the same time see different peers.
 *
 * Invariants: at most MAX_CONSIDERED, none twice; in a mesh that is no larger, all of them.
 */
import { MAX_CONSIDERED } from './limits.ts'

/** `near` and `far` have nothing in common; `fraction`: random numbers of [0, 1). */
export function considered<T>(
  near: readonly T[],
  far: readonly T[],
  fraction: () => number
): readonly T[] {
  if (near.length + far.length <= MAX_CONSIDERED) return [...near, ...far]
  const half = MAX_CONSIDERED / 2
  const some = drawn(near, Math.max(half, MAX_CONSIDERED - far.length), fraction)
  return [...some, ...drawn(far, MAX_CONSIDERED - some.length, fraction)]
}

/** Floyd's sample: as many draws as there are to draw. */
function drawn<T>(list: readonly T[], count: number, fraction: () => number): readonly T[] {
  if (list.length <= count) return list
  const chosen = new Set<number>()
  for (let last = list.length - count; last < list.length; last++) {
    const at = Math.min(last, Math.floor(fraction() * (last + 1)))
    chosen.add(chosen.has(at) ? last : at)
  }
  return [...chosen].flatMap(at => list.slice(at, at + 1))
}
