/** What a shard's refusal means to the user of the volume. */
import { unreachable } from '../../protocols/assert.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { type Answer, Status } from '../../protocols/shard-io/messages.ts'

export function faultOf(answer: Answer, node: NodeId): ShoalError {
  const { status } = answer
  switch (status) {
    case Status.moved:
      return new ShoalError({ code: 'MOVED', node }, `the chunk is no longer on ${node}`)
    case Status.staleToken:
      return new ShoalError({ code: 'STALE_TOKEN' }, `${node} knows a later attach of the volume`)
    case Status.noChunk:
      return new ShoalError({ code: 'NO_CHUNK' }, `${node} does not hold the chunk`)
    case Status.badChecksum:
      return new ShoalError({ code: 'BAD_CHECKSUM' }, `a block on ${node} fails its checksum`)
    case Status.noSpace:
      return new ShoalError({ code: 'NO_SPACE' }, `${node} has no space left`)
    case Status.busy: {
      const { retryAfterMs } = answer
      return new ShoalError({ code: 'BUSY', retryAfterMs }, `${node} is busy`)
    }
    case Status.ok:
    case Status.ioError:
      return new ShoalError({ code: 'IO_ERROR' }, `${node} cannot read or write its store`)
    default:
      return unreachable(status)
  }
}
