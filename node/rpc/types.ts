/** Unary calls between members: one CBOR request, one CBOR answer, on a stream of its own. */

import type { z } from 'zod'
import type { NodeId } from '../../protocols/ids.ts'

export interface RpcLimits {
  /** Longest message of this protocol, either way; MAX_CONTROL_MESSAGE_BYTES unless told. */
  readonly maxBytes?: number
}

export interface Rpc {
  /**
   * Answers every request of `protocol` that decodes; others are refused and counted. `handler`
   * must return a value of the protocol's answer schema; what it throws closes the stream.
   */
  serve: <Q, A>(
    protocol: string,
    request: z.ZodType<Q>,
    handler: (from: NodeId, request: Q) => Promise<A>,
    options?: RpcLimits
  ) => void
  /** Throws ShoalError UNREACHABLE, TIMEOUT, CLOSED or BAD_MESSAGE. `peer` may be ourselves. */
  call: <Q, A>(
    peer: NodeId,
    protocol: string,
    request: Q,
    answer: z.ZodType<A>,
    options?: RpcLimits & { timeoutMs?: number }
  ) => Promise<A>
}
