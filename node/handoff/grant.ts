/**
 * The source of a handoff is given up, and no gateway has the volume: this node takes the token at
 * the target for a moment and grants it what it has prepared (PROTOCOL.md, rules 9 and 10).
 *
 * Invariant: only with the operator's word that what the source acknowledged later may be lost:
 * nobody here knows what its last holder has sent it.
 */
import { messageOf } from '../../protocols/fault.ts'
import {
  type ApprovalAnswer,
  type ApprovalRequest,
  HANDOFF_OUTCOME_PROTOCOL,
  outcomeAnswerSchema,
  shortened
} from '../../protocols/handoff/calls.ts'
import type { Token } from '../../protocols/ids.ts'
import { compareTokens } from '../../protocols/ids.ts'
import type { ControlAnswer, ControlRequest } from '../../protocols/shard-control/messages.ts'
import {
  controlAnswerSchema,
  SHARD_CONTROL_PROTOCOL
} from '../../protocols/shard-control/messages.ts'
import { HANDOFF_CALL_TIMEOUT_MS } from '../limits.ts'
import { type HandoffParts, newNonce } from './parts.ts'

type Grant = Extract<ApprovalRequest, { call: 'grant' }>
type GrantParts = Pick<HandoffParts, 'rpc' | 'random' | 'clock' | 'self'>

const RETRY_MS = 1_000

/** Never rejects. */
export async function grantAsMover(parts: GrantParts, request: Grant): Promise<ApprovalAnswer> {
  if (!request.acceptLoss) {
    return refused('the source may have acknowledged changes later: pass --accept-loss', 0)
  }
  try {
    return await grant(parts, request)
  } catch (error) {
    return refused(messageOf(error), RETRY_MS)
  }
}

async function grant(
  parts: GrantParts,
  { handoff, chunk, target }: Grant
): Promise<ApprovalAnswer> {
  const { rpc, random, clock, self } = parts
  const { volume } = chunk
  const options = { timeoutMs: HANDOFF_CALL_TIMEOUT_MS }
  const control = (asked: ControlRequest): Promise<ControlAnswer> =>
    rpc.call(target, SHARD_CONTROL_PROTOCOL, asked, controlAnswerSchema, options)
  const known = await control({ call: 'query', volume })
  if (known.is !== 'state') return refused(`the target answers ${known.is}`, RETRY_MS)
  const token: Token = { counter: known.state.token.counter + 1, attach: newNonce(random) }
  const mover = { node: self.id, host: self.host, since: clock.now() }
  const taken = await control({ call: 'mover', volume, token, mover })
  if (taken.is !== 'state' || compareTokens(taken.state.token, token) !== 0) {
    return refused('why' in taken ? taken.why : `the target answers ${taken.is}`, RETRY_MS)
  }
  try {
    const epoch = { token, counter: 1 }
    const asked = { call: 'grant', handoff, chunk, token, epoch } as const
    const answer = await rpc.call(
      target,
      HANDOFF_OUTCOME_PROTOCOL,
      asked,
      outcomeAnswerSchema,
      options
    )
    return answer.is === 'held'
      ? { is: 'granted', epoch: answer.epoch }
      : refused(`the target answers ${answer.is}`, RETRY_MS)
  } finally {
    await control({ call: 'detach', volume, token })
  }
}

function refused(why: string, retryAfterMs: number): ApprovalAnswer {
  return { is: 'refused', why: shortened(why), retryAfterMs }
}
