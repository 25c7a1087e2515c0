/**
 * Paths of load: sums, parts, and what of them exceeds a threshold, and when.
 *
 * Invariants: both lists of a path are of one length; a sum lasts as long as its first path does;
 * where another ends earlier or begins later, its nearest step stands for what it does not say.
 */
import { chanceAbove, type Load, loadOfMoments, meanAbove, momentsOf } from './excess.ts'
import type { Excess, LoadPath } from './types.ts'

export function stepOf(path: LoadPath, i: number): Load {
  const expected = path.expected[i] ?? 0
  return { expected, high: Math.max(expected, path.high[i] ?? 0) }
}

/** What a path says of an instant; the nearest of its steps. */
export function loadAt(path: LoadPath, atMs: number): Load {
  const at = Math.floor((atMs - path.atMs) / path.stepMs)
  return stepOf(path, Math.max(0, Math.min(path.expected.length - 1, at)))
}

/** The first with all others added, and those of `less` taken away: step by step by moments. */
export function addPaths(
  first: LoadPath,
  more: readonly LoadPath[],
  less: readonly LoadPath[] = []
): LoadPath {
  const expected: number[] = []
  const high: number[] = []
  for (let i = 0; i < first.expected.length; i++) {
    const atMs = first.atMs + i * first.stepMs
    let { mean, variance } = momentsOf(stepOf(first, i))
    for (const path of more) {
      const added = momentsOf(loadAt(path, atMs))
      mean += added.mean
      variance += added.variance
    }
    for (const path of less) {
      const taken = momentsOf(loadAt(path, atMs))
      mean -= taken.mean
      variance -= taken.variance
    }
    const load = loadOfMoments({ mean, variance })
    expected.push(load.expected)
    high.push(load.high)
  }
  return { atMs: first.atMs, stepMs: first.stepMs, expected, high }
}

export function sumPaths(paths: readonly LoadPath[]): LoadPath | undefined {
  const [first, ...others] = paths
  return first === undefined ? undefined : addPaths(first, others)
}

/** `part` of a load, 0 to 1 (or a little more: a load and what copying it adds). */
export function partOf(path: LoadPath, part: number): LoadPath {
  return {
    ...path,
    expected: path.expected.map(load => load * part),
    high: path.high.map(load => load * part)
  }
}

/** What can be no more than `most`, such as a volume with --max-iops. */
export function cutPath(path: LoadPath, most: number): LoadPath {
  return {
    ...path,
    expected: path.expected.map(load => Math.min(load, most)),
    high: path.high.map(load => Math.min(load, most))
  }
}

/** Expected load above the threshold from one instant to another: units per second times seconds. */
export function volumeAbove(
  path: LoadPath,
  threshold: number,
  fromMs: number,
  toMs: number
): number {
  let sum = 0
  forEachStep(path, fromMs, toMs, (load, seconds) => {
    sum += meanAbove(load, threshold) * seconds
  })
  return sum
}

export function timeAbove(path: LoadPath, threshold: number, fromMs: number, toMs: number): number {
  let sum = 0
  forEachStep(path, fromMs, toMs, (load, seconds) => {
    sum += chanceAbove(load, threshold) * seconds * 1000
  })
  return sum
}

/** Each step of the path between two instants, with the seconds of it that lie there. */
export function forEachStep(
  path: LoadPath,
  fromMs: number,
  toMs: number,
  visit: (load: Load, seconds: number, atMs: number) => void
): void {
  for (let i = 0; i < path.expected.length; i++) {
    const startMs = path.atMs + i * path.stepMs
    const ms = Math.min(toMs, startMs + path.stepMs) - Math.max(fromMs, startMs)
    if (ms > 0) visit(stepOf(path, i), ms / 1000, startMs)
  }
}

/** Undefined: the high quantile stays at or below the threshold until then. */
export function excessOf(
  subject: Excess['subject'],
  path: LoadPath,
  threshold: number,
  nowMs: number,
  horizonMs: number
): Excess | undefined {
  const toMs = nowMs + horizonMs
  let highAtMs: number | undefined
  let expectedAtMs: number | undefined
  let expectedPeak = 0
  let highPeak = 0
  forEachStep(path, nowMs, toMs, (load, _, atMs) => {
    if (load.high > threshold) highAtMs ??= atMs
    if (load.expected > threshold) expectedAtMs ??= atMs
    expectedPeak = Math.max(expectedPeak, load.expected)
    highPeak = Math.max(highPeak, load.high)
  })
  if (highAtMs === undefined) return undefined
  return {
    subject,
    threshold,
    highAtMs,
    ...(expectedAtMs !== undefined && { expectedAtMs }),
    expectedPeak,
    highPeak,
    volume: volumeAbove(path, threshold, nowMs, toMs),
    overMs: timeAbove(path, threshold, nowMs, toMs),
    horizonMs
  }
}
