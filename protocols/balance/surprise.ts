/**
 * What no history foretold: a load that is above its band now, measured after the forecast was made.
 * How far it is above fades along the path, as bursts do; so the same figures speak of it as of what
 * was foretold.
 *
 * Invariant: a load within its band, or one that the forecast has seen, changes nothing.
 */
import { loadAt } from './paths.ts'
import { MINUTE_MS } from './time.ts'
import type { LoadPath } from './types.ts'

/** Of what is above the band, what is left a step of five minutes later. */
const KEPT = 0.85
/** A forecast that is younger has seen the load of now. */
const SEEN_MS = MINUTE_MS / 2

export function liftedPath(path: LoadPath, load: number, nowMs: number): LoadPath {
  const above = load - loadAt(path, nowMs).high
  if (!(above > 0) || nowMs - path.atMs < SEEN_MS) return path
  const present = Math.floor((nowMs - path.atMs) / path.stepMs)
  const lift = (list: readonly number[]): number[] => {
    let left = above
    return list.map((known, step) => {
      if (step > present) left *= KEPT
      return known + left
    })
  }
  return { ...path, expected: lift(path.expected), high: lift(path.high) }
}
