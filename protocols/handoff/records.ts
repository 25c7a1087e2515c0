/**
 * The durable steps of a handoff, as functions from one head of a shard to the next. The driver
 * applies each in the volume's turn (node/shard), so that nothing else changes the head between
 * the check and the write.
 *
 *   target   nothing --reserve--> receiving --prepare--> prepared at E --hold--> held at E
 *                 ^_________________drop_____/  \____demote____/
 *   source   held at e --release--> released at E, id --confirm--> released at E --prune--> nothing
 *                 ^___________________reclaim at E' > E __/
 *
 * Invariants: a replica is in at most one of runs, receiving and (unconfirmed) released; a token
 * and the size only grow; a run gains only epochs greater than any that this shard had for it.
 * A step that does not apply answers why, in words, and changes nothing. Repeating one is safe.
 */
import { assert } from '../assert.ts'
import type { ChunkKey, HandoffId, NodeId, PlacementEpoch, Run, Token } from '../ids.ts'
import { compareEpochs, compareTokens, sameSpec } from '../ids.ts'
import { MAX_GRANTED_RUNS } from '../limits.ts'
import type { ShardHead } from '../shard-control/grants.ts'
import type { ReceivingRun, ReleasedRun } from '../shard-control/runs.ts'
import { extentCount } from '../stripe/map.ts'
import type { Hello, Prepare } from './messages.ts'

type Where = Omit<ChunkKey, 'volume'>

// -- the target

/** Space is kept and the chunk is on its way; keeps what an earlier attempt of this source left. */
export function reserve(
  head: ShardHead | undefined,
  from: NodeId,
  hello: Hello
): ShardHead | string {
  const { chunk, spec, sizeBytes, token, writer, holder, handoff, epoch } = hello
  const base: ShardHead = head ?? {
    spec,
    sizeBytes,
    token,
    writer,
    holder,
    mover: undefined,
    runs: [],
    released: [],
    receiving: []
  }
  if (!sameSpec(spec, base.spec)) return 'the source describes another layout of the volume'
  if (chunk.generation !== spec.generation || chunk.column >= spec.columns) return OUTSIDE
  if (chunk.replica >= spec.copies || chunk.extent >= extentCount(spec, sizeBytes)) return OUTSIDE
  if (base.runs.some(run => covers(run, chunk))) return 'this replica is held here already'
  // The bytes of the last time are freed once that is confirmed: they must not be taken for these.
  const isOwed = base.released.some(one => one.handoff !== undefined && covers(one.run, chunk))
  if (isOwed) return 'another handoff of it from here is not confirmed'
  const other = receivingOf(base, chunk)
  if (other?.isPrepared === true && other.handoff !== handoff) return 'another handoff is prepared'
  if (other !== undefined && other.from !== from) return 'it is being received from another node'
  if (other?.handoff === handoff) return base
  if (recordCount(base) >= MAX_GRANTED_RUNS) return TOO_MANY
  const entry: ReceivingRun = {
    run: runOf(chunk, epoch),
    from,
    handoff,
    isPrepared: false,
    reservedBytes: hello.reserveBytes
  }
  return {
    ...base,
    sizeBytes: Math.max(base.sizeBytes, sizeBytes),
    // A sign-post to somewhere else has served its time: the chunk is coming back.
    released: withoutConfirmed(base.released, chunk),
    receiving: [...base.receiving.filter(one => one !== other), entry]
  }
}

/** Complete and durable; from now on only the source's word is missing. */
export function prepare(
  head: ShardHead | undefined,
  handoff: HandoffId,
  wish: Prepare
): ShardHead | string {
  const entry = head?.receiving.find(one => one.handoff === handoff)
  if (head === undefined || entry === undefined) return 'no such handoff is open here'
  if (compareTokens(head.token, wish.token) > 0) return 'stale'
  if (entry.isPrepared) {
    return compareEpochs(entry.run.epoch, wish.epoch) === 0 ? head : 'prepared at another epoch'
  }
  const prepared = { ...entry, isPrepared: true, run: { ...entry.run, epoch: wish.epoch } }
  return {
    ...head,
    ...inherited(head, wish),
    receiving: head.receiving.map(one => (one === entry ? prepared : one))
  }
}

/** The source released it at this very epoch: held, and served, from now on. */
export function hold(
  head: ShardHead | undefined,
  handoff: HandoffId,
  epoch: PlacementEpoch
): ShardHead | string {
  const entry = head?.receiving.find(one => one.handoff === handoff)
  if (head === undefined || entry === undefined) return 'no such handoff is open here'
  if (!entry.isPrepared) return 'the handoff is not prepared here'
  if (compareEpochs(entry.run.epoch, epoch) !== 0) return 'it was prepared at another epoch'
  return {
    ...head,
    runs: joinNeighbours([...head.runs, entry.run]),
    receiving: head.receiving.filter(one => one !== entry)
  }
}

/** The source is given up: a prepared replica is granted by the holder, above every older epoch. */
export function grantPrepared(
  head: ShardHead | undefined,
  handoff: HandoffId,
  token: Token,
  epoch: PlacementEpoch
): ShardHead | string {
  const entry = head?.receiving.find(one => one.handoff === handoff)
  if (head === undefined || entry?.isPrepared !== true) return 'no such handoff is prepared here'
  if (compareTokens(head.token, token) !== 0) return 'stale'
  if (compareEpochs(epoch, entry.run.epoch) <= 0) return 'a granted epoch must be a greater one'
  const granted = { ...entry, run: { ...entry.run, epoch } }
  const ready = {
    ...head,
    receiving: head.receiving.map(one => (one === entry ? granted : one))
  }
  return hold(ready, handoff, epoch)
}

/** The source will never commit it: what is stored stays, for its next attempt. */
export function demote(head: ShardHead | undefined, handoff: HandoffId): ShardHead | string {
  const entry = head?.receiving.find(one => one.handoff === handoff)
  if (head === undefined || entry === undefined) return 'no such handoff is open here'
  if (!entry.isPrepared) return head
  const demoted = { ...entry, isPrepared: false }
  return { ...head, receiving: head.receiving.map(one => (one === entry ? demoted : one)) }
}

/** Nobody goes on with it (or the operator says so). */
export function drop(head: ShardHead | undefined, handoff: HandoffId): ShardHead | string {
  if (head === undefined) return 'no such handoff is open here'
  return { ...head, receiving: head.receiving.filter(one => one.handoff !== handoff) }
}

// -- the source

export interface Release {
  readonly chunk: ChunkKey
  readonly handoff: HandoffId
  readonly to: NodeId
  /** The token of the approval: it must be the greatest, still. */
  readonly token: Token
  /** At which the source holds the chunk, and at which the target will. */
  readonly heldAt: PlacementEpoch
  readonly epoch: PlacementEpoch
}

/** The commit point. */
export function release(head: ShardHead | undefined, wish: Release): ShardHead | string {
  const { chunk, handoff, to, token, heldAt, epoch } = wish
  if (head === undefined) return 'the shard is gone'
  if (compareTokens(head.token, token) !== 0) return 'void: another token was granted'
  const run = head.runs.find(one => covers(one, chunk))
  if (run === undefined || compareEpochs(run.epoch, heldAt) !== 0) return 'the chunk is not held'
  assert(compareEpochs(epoch, heldAt) > 0, 'a replica passes on at a greater epoch')
  assert(compareTokens(epoch.token, token) === 0, 'only the holder of a token mints its epochs')
  if (recordCount(head) + 2 > MAX_GRANTED_RUNS) return TOO_MANY
  const entry: ReleasedRun = { run: runOf(chunk, epoch), to, handoff }
  return {
    ...head,
    runs: head.runs.flatMap(one => (one === run ? cutOut(one, chunk.extent) : [one])),
    released: [...withoutConfirmed(head.released, chunk), entry]
  }
}

/** The target has confirmed that it holds the chunk: the bytes may go. */
export function confirm(head: ShardHead | undefined, handoff: HandoffId): ShardHead | string {
  const entry = head?.released.find(one => one.handoff === handoff)
  if (head === undefined || entry === undefined) return 'no such release'
  const { run, to } = entry
  const others = head.released.filter(one => one !== entry)
  return { ...head, released: joinReleased([...others, { run, to }]) }
}

/** The target is given up, or has durably dropped it: the source holds the chunk again. */
export function reclaim(
  head: ShardHead | undefined,
  handoff: HandoffId,
  token: Token,
  epoch: PlacementEpoch
): ShardHead | string {
  const entry = head?.released.find(one => one.handoff === handoff)
  if (head === undefined || entry === undefined) return 'no such release'
  if (compareTokens(head.token, token) !== 0) return 'void: another token was granted'
  if (compareEpochs(epoch, entry.run.epoch) <= 0) return 'a reclaimed epoch must be a greater one'
  return {
    ...head,
    runs: joinNeighbours([...head.runs, { ...entry.run, epoch }]),
    released: head.released.filter(one => one !== entry)
  }
}

/** Sign-posts that the map has taken over go. */
export function prune(
  head: ShardHead | undefined,
  isKnown: (released: ReleasedRun) => boolean
): ShardHead | string {
  if (head === undefined) return 'the shard is gone'
  const kept = head.released.filter(one => one.handoff !== undefined || !isKnown(one))
  return kept.length === head.released.length ? head : { ...head, released: kept }
}

// -- looking

export function receivingOf(head: ShardHead, chunk: Where): ReceivingRun | undefined {
  return head.receiving.find(one => covers(one.run, chunk))
}

export function releasedBy(head: ShardHead | undefined, id: HandoffId): ReleasedRun | undefined {
  return head?.released.find(one => one.handoff === id)
}

/** Whether anything of the chunk must stay here: held, on its way here, or not confirmed. */
export function mustKeep(head: ShardHead, chunk: Where): boolean {
  return (
    head.runs.some(run => covers(run, chunk)) ||
    head.receiving.some(one => covers(one.run, chunk)) ||
    head.released.some(one => one.handoff !== undefined && covers(one.run, chunk))
  )
}

/** Nothing is held, on its way or owed: the shard may be forgotten. */
export function isEmpty(head: ShardHead): boolean {
  return head.runs.length + head.receiving.length + head.released.length === 0
}

export function covers(run: Run, chunk: Where): boolean {
  return (
    run.generation === chunk.generation &&
    run.column === chunk.column &&
    run.replica === chunk.replica &&
    run.from <= chunk.extent &&
    chunk.extent < run.to
  )
}

const OUTSIDE = 'the chunk lies outside the volume'
const TOO_MANY = `the shard would keep more than ${MAX_GRANTED_RUNS} runs`

function recordCount(head: ShardHead): number {
  return head.runs.length + head.released.length + head.receiving.length
}

function runOf(chunk: ChunkKey, epoch: PlacementEpoch): Run {
  const { extent, generation, column, replica } = chunk
  return { from: extent, to: extent + 1, generation, column, replica, epoch }
}

/** What the target takes over from an approval: the greatest token, and whose it is. */
function inherited(
  head: ShardHead,
  wish: Prepare
): Pick<ShardHead, 'token' | 'writer' | 'holder' | 'mover' | 'sizeBytes'> {
  const sizeBytes = Math.max(head.sizeBytes, wish.sizeBytes)
  const { token, writer, holder, mover } = head
  if (compareTokens(wish.token, token) <= 0) return { token, writer, holder, mover, sizeBytes }
  const greatest = compareTokens(wish.writer, writer) > 0 ? wish.writer : writer
  const isGateways = compareTokens(wish.token, wish.writer) === 0
  return {
    token: wish.token,
    writer: greatest,
    holder: isGateways ? wish.holder : holder,
    mover: isGateways ? undefined : mover,
    sizeBytes
  }
}

function withoutConfirmed(released: readonly ReleasedRun[], chunk: Where): ReleasedRun[] {
  return released.flatMap(one => {
    if (one.handoff !== undefined || !covers(one.run, chunk)) return [one]
    return cutOut(one.run, chunk.extent).map(run => ({ ...one, run }))
  })
}

/** What is left of a run without one of its extents. */
function cutOut(run: Run, extent: number): Run[] {
  const parts: Run[] = []
  if (run.from < extent) parts.push({ ...run, to: extent })
  if (extent + 1 < run.to) parts.push({ ...run, from: extent + 1 })
  return parts
}

/** Runs that touch and agree in everything else become one. */
export function joinNeighbours(runs: readonly Run[]): Run[] {
  const sorted = [...runs].sort(byPlace)
  const joined: Run[] = []
  for (const run of sorted) {
    const last = joined.at(-1)
    if (last !== undefined && continues(last, run))
      joined[joined.length - 1] = { ...last, to: run.to }
    else joined.push(run)
  }
  return joined
}

function joinReleased(released: readonly ReleasedRun[]): ReleasedRun[] {
  const open = released.filter(one => one.handoff !== undefined)
  const sorted = released
    .filter(one => one.handoff === undefined)
    .sort((a, b) => byPlace(a.run, b.run))
  const joined: ReleasedRun[] = []
  for (const one of sorted) {
    const last = joined.at(-1)
    if (last !== undefined && last.to === one.to && continues(last.run, one.run)) {
      joined[joined.length - 1] = { to: last.to, run: { ...last.run, to: one.run.to } }
    } else joined.push(one)
  }
  return [...joined, ...open]
}

function byPlace(a: Run, b: Run): number {
  return (
    a.generation - b.generation || a.column - b.column || a.replica - b.replica || a.from - b.from
  )
}

function continues(a: Run, b: Run): boolean {
  return (
    a.generation === b.generation &&
    a.column === b.column &&
    a.replica === b.replica &&
    a.to === b.from &&
    compareEpochs(a.epoch, b.epoch) === 0
  )
}
