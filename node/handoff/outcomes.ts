/**
 * Answers what became of a handoff, to targets and holders that ask; and takes the answer where it
 * is carried here (PROTOCOL.md, "Calls").
 *
 * Invariant: `aborted` is said only of an id that is neither open here nor released and waited for:
 * it then never will be, because ids are minted once and commits need the run that is gone. A
 * target that was told `held` does not ask; a holder that asks so late learns the rest by MOVED.
 */
import { messageOf } from '../../protocols/fault.ts'
import {
  HANDOFF_OUTCOME_PROTOCOL,
  type OutcomeAnswer,
  type OutcomeRequest,
  outcomeAnswerSchema,
  outcomeRequestSchema,
  shortened
} from '../../protocols/handoff/calls.ts'
import { covers, grantPrepared, releasedBy } from '../../protocols/handoff/records.ts'
import type { HandoffId, NodeId } from '../../protocols/ids.ts'
import { compareEpochs } from '../../protocols/ids.ts'
import { ownerOf } from '../../protocols/shard-control/grants.ts'
import { HANDOFF_CALL_TIMEOUT_MS } from '../limits.ts'
import { announceHeld, holdChunk } from './claims.ts'
import type { HandoffParts } from './parts.ts'
import type { SourceRun } from './source.ts'

type Carry = Extract<OutcomeRequest, { call: 'carry' }>
type Grant = Extract<OutcomeRequest, { call: 'grant' }>

export function serveOutcomes(
  parts: HandoffParts,
  runOf: (handoff: HandoffId) => SourceRun | undefined
): void {
  parts.rpc.serve(HANDOFF_OUTCOME_PROTOCOL, outcomeRequestSchema, async (from, request) => {
    try {
      if (request.call === 'outcome') return outcomeOf(parts, runOf(request.handoff), request)
      if (request.call === 'carry') return await carry(parts, from, request)
      return await grant(parts, from, request)
    } catch (error) {
      parts.log.warn({ from, call: request.call, why: messageOf(error) }, 'a handoff call failed')
      return { is: 'failed', why: shortened(messageOf(error)) }
    }
  })
}

function outcomeOf(
  { shards }: HandoffParts,
  run: SourceRun | undefined,
  { handoff, chunk }: OutcomeRequest
): OutcomeAnswer {
  if (run !== undefined) return run.outcome() ?? { is: 'open' }
  const released = releasedBy(shards.replicas.head(chunk.volume), handoff)
  if (released === undefined) return { is: 'aborted' }
  return { is: 'released', to: released.to, epoch: released.run.epoch }
}

/** The source's own word is taken, and its holder's; anybody else's is asked of the source. */
async function carry(parts: HandoffParts, by: NodeId, request: Carry): Promise<OutcomeAnswer> {
  const { handoff, chunk, epoch, from } = request
  const { replicas } = parts.shards
  const present = replicas.head(chunk.volume)
  const entry = present?.receiving.find(one => one.handoff === handoff)
  if (present !== undefined && entry !== undefined) {
    if (entry.from !== from) return { is: 'unknown' }
    if (by !== from && by !== ownerOf(present)) {
      const word = await askOutcome(parts, from, { call: 'outcome', handoff, chunk })
      const isTrue = word?.is === 'released' && compareEpochs(word.epoch, epoch) === 0
      if (!isTrue) return { is: 'unknown' }
    }
    const refusal = await holdChunk(parts, chunk, handoff, epoch)
    if (refusal === undefined) return { is: 'held', epoch }
  }
  // It may have been held before, and even passed on since.
  const head = replicas.head(chunk.volume)
  const later = [...(head?.runs ?? []), ...(head?.released ?? []).map(one => one.run)].find(
    run => covers(run, chunk) && compareEpochs(run.epoch, epoch) >= 0
  )
  return later === undefined ? { is: 'unknown' } : { is: 'held', epoch: later.epoch }
}

/** Only from the node to which the token was granted. */
async function grant(parts: HandoffParts, by: NodeId, request: Grant): Promise<OutcomeAnswer> {
  const { handoff, chunk, token, epoch } = request
  const { replicas } = parts.shards
  const present = replicas.head(chunk.volume)
  if (present === undefined || ownerOf(present) !== by) return { is: 'unknown' }
  const head = await replicas.update(chunk.volume, now => grantPrepared(now, handoff, token, epoch))
  if (head === 'stale') {
    const known = replicas.head(chunk.volume)
    return known === undefined ? { is: 'unknown' } : { is: 'stale', token: known.token }
  }
  if (typeof head === 'string') return { is: 'unknown' }
  await announceHeld(parts, head, [chunk])
  return { is: 'held', epoch }
}

/** Asks the source; undefined if it does not answer. */
export async function askOutcome(
  { rpc }: Pick<HandoffParts, 'rpc'>,
  source: NodeId,
  request: Extract<OutcomeRequest, { call: 'outcome' }>
): Promise<OutcomeAnswer | undefined> {
  try {
    const options = { timeoutMs: HANDOFF_CALL_TIMEOUT_MS }
    return await rpc.call(source, HANDOFF_OUTCOME_PROTOCOL, request, outcomeAnswerSchema, options)
  } catch {
    return undefined
  }
}
