/** The answers of a shard, and the one table from the store's faults to the statuses of the wire. */
import { isFault } from '../../protocols/fault.ts'
import type { Incarnation } from '../../protocols/ids.ts'
import type { Answer, MovedTo, Request } from '../../protocols/shard-io/messages.ts'
import { Status } from '../../protocols/shard-io/messages.ts'
import type { ReadResult } from '../storage/types.ts'

const NO_WORDS: Uint32Array = new Uint32Array(0)
const NO_DATA: Uint8Array = new Uint8Array(0)

export function plainAnswer(request: Request, status: Status): Answer {
  return {
    status,
    op: request.op,
    requestId: request.requestId,
    lengthBytes: request.lengthBytes,
    retryAfterMs: 0,
    tokenCounter: 0,
    crcs: NO_WORDS,
    data: NO_DATA,
    runs: NO_WORDS,
    incarnation: undefined,
    movedTo: undefined
  }
}

export function readAnswer(request: Request, result: ReadResult): Answer {
  return {
    status: Status.ok,
    op: request.op,
    requestId: request.requestId,
    lengthBytes: request.lengthBytes,
    retryAfterMs: 0,
    tokenCounter: 0,
    crcs: result.crcs,
    data: result.data,
    runs: NO_WORDS,
    incarnation: undefined,
    movedTo: undefined
  }
}

export function mapAnswer(request: Request, runs: Uint32Array): Answer {
  return { ...plainAnswer(request, Status.ok), runs }
}

export function welcomeAnswer(request: Request, incarnation: Incarnation): Answer {
  return { ...plainAnswer(request, Status.ok), incarnation }
}

export function staleAnswer(request: Request, tokenCounter: number): Answer {
  return { ...plainAnswer(request, Status.staleToken), tokenCounter }
}

export function movedAnswer(request: Request, movedTo: MovedTo): Answer {
  return { ...plainAnswer(request, Status.moved), movedTo }
}

export function busyAnswer(request: Request, retryAfterMs: number): Answer {
  return { ...plainAnswer(request, Status.busy), retryAfterMs }
}

/** What the store's rejection means to the gateway. Anything unknown is an I/O error. */
export function faultAnswer(request: Request, error: unknown): Answer {
  if (!isFault(error)) return plainAnswer(request, Status.ioError)
  switch (error.fault.code) {
    case 'BAD_CHECKSUM':
      return plainAnswer(request, Status.badChecksum)
    case 'NO_SPACE':
      return plainAnswer(request, Status.noSpace)
    case 'BUSY':
      return busyAnswer(request, error.fault.retryAfterMs)
    default:
      return plainAnswer(request, Status.ioError)
  }
}
