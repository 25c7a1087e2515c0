/**
 * Grants: what one shard may do with a control call, decided from its durable head alone. The
 * driver (node/shard) makes `save` and `remove` durable, then raises its admission, then answers.
 *
 *   absent --remove--> removed
 *   absent --create--> held, free --open--> held by T --detach--> held, free --remove--> removed
 *                          |                  | open of a greater token: held by T' > T
 *                          |__________________|__ remove under a token >= the shard's --> removed
 *                          |__ mover M > T, while no gateway is heard: moved under M
 *                                 |__ detach under M: free again;  open of a token > M: held
 *
 * Invariants: a decision never lowers the token, the size, or the set of runs; a call under a
 * smaller token changes nothing; every call may be repeated, with the same outcome; a mover gets
 * the token only while no holder is heard and no other mover is active; it never is `writer`.
 */
import type { NodeId, Run, Token, VolumeSpec } from '../ids.ts'
import { compareEpochs, compareTokens, sameSpec } from '../ids.ts'
import { MAX_GRANTED_RUNS, MAX_GROW_RUNS, MOVER_TIMEOUT_MS } from '../limits.ts'
import { shapeProblem } from '../stripe/map.ts'
import type { ControlAnswer, ControlRequest, Holder } from './messages.ts'
import type { ReceivingRun, ReleasedRun } from './runs.ts'
import { coverage, runsProblem, sameRuns } from './runs.ts'

/** What a shard durably knows of itself. */
export interface ShardHead {
  readonly spec: VolumeSpec
  readonly sizeBytes: number
  /** The greatest token that was granted, to a gateway or to a mover. */
  readonly token: Token
  /** The greatest that was granted to a gateway: who wrote last. */
  readonly writer: Token
  readonly holder: Holder | undefined
  /** Who has the volume for the moment of one handoff; the token is then the mover's. */
  readonly mover: Holder | undefined
  readonly runs: readonly Run[]
  readonly released: readonly ReleasedRun[]
  readonly receiving: readonly ReceivingRun[]
}

/** What the store knows about the volume of the call. */
export interface Known {
  readonly head: ShardHead | undefined
  /** Token of the remembered removal. */
  readonly removedAt: Token | undefined
  /** Bytes that can still be written on this node, and how many a new shard wants to see. */
  readonly availableBytes: number
  readonly wantedBytes: number
  /** Since the holder was last heard, and after how long it is taken for gone. */
  readonly holderSilentMs: number
  readonly holderTimeoutMs: number
  /** Since the recorded mover was granted, or since the start of the server. */
  readonly moverAgeMs: number
}

export type Changing = Exclude<ControlRequest, { call: 'query' | 'digest' }>

/**
 * - answer: nothing changes
 * - save: make `head` durable, then answer with the state (`done` for a detach)
 * - keep: nothing needs to change, answer with the state (`done` for a detach)
 * - remove: make the tombstone durable, then answer `done`
 */
export type Decision =
  | { readonly do: 'answer'; readonly answer: ControlAnswer }
  | { readonly do: 'save'; readonly head: ShardHead }
  | { readonly do: 'keep' }
  | { readonly do: 'remove'; readonly token: Token }

export function decide(known: Known, request: Changing): Decision {
  if (request.call === 'create') return decideCreate(known, request)
  if (known.head === undefined) {
    if (request.call === 'remove') {
      if (known.removedAt !== undefined) return answer({ is: 'done' })
      // The create that it undoes may still be under way: it must find the tombstone.
      return { do: 'remove', token: request.token }
    }
    if (known.removedAt === undefined) return answer({ is: 'absent' })
    return answer({ is: 'removed', token: known.removedAt })
  }
  const { head } = known
  if (compareTokens(request.token, head.token) < 0) return answer(stale(head))
  switch (request.call) {
    case 'open':
      return decideOpen(head, request)
    case 'mover':
      return decideMover(head, known, request)
    case 'grow':
      return decideGrow(head, request)
    case 'detach':
      return decideDetach(head, request)
    case 'remove':
      return { do: 'remove', token: request.token }
  }
}

/** The refusal of a call under a smaller token. */
export function stale(head: ShardHead): ControlAnswer {
  return {
    is: 'stale',
    token: head.token,
    writer: head.writer,
    ...(head.holder === undefined ? {} : { holder: head.holder })
  }
}

function decideCreate(known: Known, request: Changing & { call: 'create' }): Decision {
  const { spec, sizeBytes, runs, token } = request
  if (known.removedAt !== undefined) return answer({ is: 'removed', token: known.removedAt })
  const problem =
    shapeProblem(spec) ?? runsProblem(spec, sizeBytes, runs) ?? epochProblem(token, runs)
  if (problem !== undefined) return failed(problem)
  if (runs.length === 0) return failed('no run is named')
  const { head } = known
  if (head !== undefined) {
    if (compareTokens(token, head.token) < 0) return answer(stale(head))
    const isSame =
      compareTokens(token, head.token) === 0 &&
      sameSpec(spec, head.spec) &&
      sizeBytes === head.sizeBytes &&
      sameRuns(runs, head.runs)
    return isSame ? { do: 'keep' } : failed('the volume has a shard here already')
  }
  if (known.availableBytes < known.wantedBytes) {
    return answer({ is: 'no-space', availableBytes: Math.max(0, known.availableBytes) })
  }
  const none = { holder: undefined, mover: undefined, released: [], receiving: [] }
  return { do: 'save', head: { spec, sizeBytes, token, writer: token, runs, ...none } }
}

function decideOpen(head: ShardHead, request: Changing & { call: 'open' }): Decision {
  const { token, holder } = request
  const isSame = compareTokens(token, head.token) === 0
  // A mover's token is no gateway's, even if somebody came to know it.
  if (isSame && isMoved(head)) return answer(stale(head))
  const granted = { ...head, token, writer: token, holder, mover: undefined }
  return isSame && sameHolder(holder, head.holder) ? { do: 'keep' } : { do: 'save', head: granted }
}

function decideMover(
  head: ShardHead,
  known: Known,
  request: Changing & { call: 'mover' }
): Decision {
  const { token, mover } = request
  if (compareTokens(token, head.token) === 0) {
    const isRepeat = isMoved(head) && sameHolder(mover, head.mover)
    return isRepeat ? { do: 'keep' } : answer(stale(head))
  }
  const heardMs = known.holderTimeoutMs - known.holderSilentMs
  if (head.holder !== undefined && heardMs > 0) {
    return busy(`the gateway on ${head.holder.host} has the volume`, heardMs)
  }
  const activeMs = MOVER_TIMEOUT_MS - known.moverAgeMs
  if (head.mover !== undefined && head.mover.node !== mover.node && activeMs > 0) {
    return busy(`${head.mover.host} moves another part of the volume`, activeMs)
  }
  return { do: 'save', head: { ...head, token, mover } }
}

function decideGrow(head: ShardHead, request: Changing & { call: 'grow' }): Decision {
  const { token, sizeBytes } = request
  if (compareTokens(token, head.token) > 0) return failed('the token was not granted here')
  if (isMoved(head)) return failed('a mover grows nothing')
  if (sizeBytes < head.sizeBytes) return failed('a volume only grows')
  const added = notGranted(head, request.runs)
  if (typeof added === 'string') return failed(added)
  const runs = [...head.runs, ...added]
  const problem = runsProblem(head.spec, sizeBytes, runs) ?? epochProblem(token, request.runs)
  if (problem !== undefined) return failed(problem)
  // A shard may gain no run and still has to know the new size.
  if (sizeBytes === head.sizeBytes && added.length === 0) return { do: 'keep' }
  const records = runs.length + head.released.length + head.receiving.length
  if (records > MAX_GRANTED_RUNS) return failed(`more than ${MAX_GRANTED_RUNS} runs`)
  return { do: 'save', head: { ...head, sizeBytes, runs } }
}

function decideDetach(head: ShardHead, request: Changing & { call: 'detach' }): Decision {
  if (compareTokens(request.token, head.token) > 0) return failed('the token was not granted here')
  const { holder, mover } = head
  const left = isMoved(head) ? { holder, mover: undefined } : { holder: undefined, mover }
  if (left.holder === holder && left.mover === mover) return { do: 'keep' }
  return { do: 'save', head: { ...head, ...left } }
}

/** What a repeated call names may have moved on since: it is not granted again. */
function notGranted(head: ShardHead, wanted: readonly Run[]): Run[] | string {
  if (wanted.length > MAX_GROW_RUNS) return `more than ${MAX_GROW_RUNS} runs to grow by`
  const records = [...head.runs, ...head.released.map(runOf), ...head.receiving.map(runOf)]
  const added: Run[] = []
  for (const run of wanted) {
    const known = coverage(records, run)
    if (known === 'part' || known === 'conflict') return 'runs overlap'
    if (known === 'none') added.push(run)
  }
  return added
}

/** The greatest token was granted to a mover. */
export function isMoved(head: ShardHead): boolean {
  return compareTokens(head.token, head.writer) !== 0
}

/** To whose node the greatest token was granted. */
export function ownerOf(head: ShardHead): NodeId | undefined {
  return isMoved(head) ? head.mover?.node : head.holder?.node
}

function runOf(entry: ReleasedRun | ReceivingRun): Run {
  return entry.run
}

/** Only the holder of a token mints epochs under it, so none is greater than the caller's. */
function epochProblem(token: Token, runs: readonly Run[]): string | undefined {
  const ceiling = { token, counter: Number.MAX_SAFE_INTEGER }
  const isBeyond = runs.some(run => compareEpochs(run.epoch, ceiling) > 0)
  return isBeyond ? 'a run has an epoch of a token that was not granted' : undefined
}

function sameHolder(a: Holder, b: Holder | undefined): boolean {
  return b !== undefined && a.node === b.node && a.host === b.host && a.since === b.since
}

function busy(why: string, retryAfterMs: number): Decision {
  return answer({ is: 'busy', why, retryAfterMs })
}

function answer(given: ControlAnswer): Decision {
  return { do: 'answer', answer: given }
}

function failed(why: string): Decision {
  return answer({ is: 'failed', why })
}
