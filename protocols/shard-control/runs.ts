/**
 * The runs of a shard: what it holds and what it has passed on, found by chunk. The index is built
 * once per change of the record; a look-up costs one map access and a binary search, whatever the
 * number of runs.
 *
 * Invariants: held runs of one shard never overlap; each lies inside the volume's layout.
 */
import { assert } from '../assert.ts'
import type { ChunkKey, HandoffId, NodeId, Run, VolumeSpec } from '../ids.ts'
import { compareEpochs } from '../ids.ts'
import { MAX_COLUMNS, MAX_COPIES, MAX_GRANTED_RUNS } from '../limits.ts'
import { extentCount } from '../stripe/map.ts'

/** Passed on by a committed handoff; `run.epoch` is the epoch at which the target holds it. */
export interface ReleasedRun {
  readonly run: Run
  readonly to: NodeId
  /** Until the target has confirmed: the bytes are still here. */
  readonly handoff?: HandoffId | undefined
}

/** One chunk on its way here. */
export interface ReceivingRun {
  /** `epoch`: the source's while it is copied, the approved one once prepared. */
  readonly run: Run
  readonly from: NodeId
  readonly handoff: HandoffId
  /** Complete and durable here: nothing but the source's word is missing. */
  readonly isPrepared: boolean
  /** Kept free for it on this node. */
  readonly reservedBytes: number
}

/** Held runs by (generation, column, replica), each list sorted by its first extent. */
export type RunIndex = ReadonlyMap<number, readonly Run[]>

type Where = Pick<ChunkKey, 'extent' | 'generation' | 'column' | 'replica'>

export function indexRuns(runs: readonly Run[]): RunIndex {
  const index = new Map<number, Run[]>()
  for (const run of runs) {
    const list = index.get(slot(run))
    if (list === undefined) index.set(slot(run), [run])
    else list.push(run)
  }
  for (const list of index.values()) {
    list.sort((a, b) => a.from - b.from)
    for (let i = 1; i < list.length; i++) {
      assert((list[i - 1]?.to ?? 0) <= (list[i]?.from ?? 0), 'held runs never overlap')
    }
  }
  return index
}

/** The held run that covers the chunk, or undefined. */
export function findRun(index: RunIndex, chunk: Where): Run | undefined {
  const list = index.get(slot(chunk))
  if (list === undefined) return undefined
  let low = 0
  let high = list.length - 1
  while (low <= high) {
    const middle = (low + high) >> 1
    const run = list[middle]
    assert(run !== undefined, 'a binary search stays inside its list')
    if (chunk.extent < run.from) high = middle - 1
    else if (chunk.extent >= run.to) low = middle + 1
    else return run
  }
  return undefined
}

/** How the chunk is on its way here, or undefined. */
export function findReceiving(
  receiving: readonly ReceivingRun[],
  chunk: Where
): ReceivingRun | undefined {
  return receiving.find(entry => covers(entry.run, chunk))
}

/** Where the chunk went: of all handoffs that released it, the one with the greatest epoch. */
export function findReleased(
  released: readonly ReleasedRun[],
  chunk: Where
): ReleasedRun | undefined {
  let latest: ReleasedRun | undefined
  for (const entry of released) {
    if (!covers(entry.run, chunk)) continue
    if (latest === undefined || compareEpochs(entry.run.epoch, latest.run.epoch) > 0) latest = entry
  }
  return latest
}

/** Why these runs cannot all be held together by one shard of the volume, or undefined. None can. */
export function runsProblem(
  spec: VolumeSpec,
  sizeBytes: number,
  runs: readonly Run[]
): string | undefined {
  if (runs.length > MAX_GRANTED_RUNS) return `more than ${MAX_GRANTED_RUNS} runs`
  const extents = extentCount(spec, sizeBytes)
  const sorted = [...runs].sort((a, b) => slot(a) - slot(b) || a.from - b.from)
  for (let i = 0; i < sorted.length; i++) {
    const run = sorted[i]
    const before = sorted[i - 1]
    assert(run !== undefined, 'sorting keeps every run')
    if (run.generation !== spec.generation) return 'a run is of another layout generation'
    if (run.column >= spec.columns || run.replica >= spec.copies) return 'a run outside the layout'
    if (run.from >= run.to || run.to > extents) return 'a run outside the volume'
    if (before !== undefined && slot(before) === slot(run) && before.to > run.from) {
      return 'runs overlap'
    }
  }
  return undefined
}

/** The runs of `held` and those of `added` that are not held already, word for word. */
export function joinRuns(held: readonly Run[], added: readonly Run[]): Run[] {
  const names = new Set(held.map(runName))
  return [...held, ...added.filter(run => !names.has(runName(run)))]
}

/**
 * How much of `run` the records account for at its epoch or a later one. `conflict`: some of it is
 * recorded at an older epoch.
 */
export function coverage(
  records: readonly Run[],
  run: Run
): 'none' | 'part' | 'whole' | 'conflict' {
  const near = records.filter(
    one => slot(one) === slot(run) && one.from < run.to && run.from < one.to
  )
  if (near.length === 0) return 'none'
  if (near.some(one => compareEpochs(one.epoch, run.epoch) < 0)) return 'conflict'
  near.sort((a, b) => a.from - b.from)
  let reached = run.from
  for (const one of near) {
    if (one.from > reached) return 'part'
    reached = Math.max(reached, one.to)
  }
  return reached >= run.to ? 'whole' : 'part'
}

/** The same runs, in whatever order. */
export function sameRuns(a: readonly Run[], b: readonly Run[]): boolean {
  return a.length === b.length && joinRuns(a, b).length === a.length
}

function runName(run: Run): string {
  const { token, counter } = run.epoch
  return `${slot(run)} ${run.from} ${run.to} ${token.counter} ${token.attach} ${counter}`
}

function covers(run: Run, chunk: Where): boolean {
  return slot(run) === slot(chunk) && run.from <= chunk.extent && chunk.extent < run.to
}

/** (generation, column, replica) as one number. Wire values stay below 2^16, 2^16 and 2^8. */
function slot(of: Omit<Where, 'extent'>): number {
  return (of.generation * 0x1_0000 + of.column) * 0x100 + of.replica
}

assert(MAX_COLUMNS <= 0x1_0000 && MAX_COPIES <= 0x100, 'a slot keeps its three parts apart')
