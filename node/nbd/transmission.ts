/**
 * The transmission phase of one connection: requests in, calls of the device, answers out.
 *
 *   intake --header--> budget --> device --> answer --> output --written--> budget
 *                        \ none left: the socket is not read until some is given back
 *
 * Invariants: every admitted request is answered exactly once, or its connection is gone; the device
 * is called in the order of arrival; a change is answered only after the device resolved it;
 * after DISC nothing is read, and everything admitted is still answered.
 */
import { assert } from '../../protocols/assert.ts'
import { messageOf } from '../../protocols/fault.ts'
import { NBD_MAX_PAYLOAD_BYTES, NBD_MAX_STATUS_DESCRIPTORS } from '../../protocols/limits.ts'
import * as nbd from '../../protocols/nbd/constants.ts'
import { ALLOCATION_CONTEXT_ID } from '../../protocols/nbd/negotiation.ts'
import {
  CHUNK_HEADER_BYTES,
  decodeRequest,
  encodeError,
  encodeStatus,
  type NbdRequest,
  OFFSET_BYTES,
  putChunkHeader,
  putOffset,
  putSimpleReply,
  SIMPLE_REPLY_BYTES
} from '../../protocols/nbd/transmission.ts'
import type { BlockDevice, DeviceExtent } from '../block-device.ts'
import type { Log } from '../ports.ts'
import type { Share } from './budget.ts'
import { nbdErrorOf } from './errors.ts'
import type { Intake, IntakeHandler } from './intake.ts'
import type { Output } from './output.ts'
import { Payloads } from './payloads.ts'
import { costOf, refusalOf } from './rules.ts'

export interface TransmissionParts {
  readonly device: BlockDevice
  readonly readOnly: boolean
  readonly structured: boolean
  readonly allocation: boolean
  readonly intake: Intake
  readonly output: Output
  readonly share: Share
  readonly log: Log
  /** No more is to be read: the budget is used up. `share.wake` tells when to go on. */
  readonly pause: () => void
  /** The client said goodbye; called again, until it is gone, whenever a request was answered. */
  readonly leave: () => void
  /** The client broke the protocol. */
  readonly violation: (why: string) => void
}

export class Transmission implements IntakeHandler {
  readonly #parts: TransmissionParts
  readonly #payloads = new Payloads()
  #incoming: NbdRequest | undefined
  #incomingRefusal = nbd.NBD_OK
  #unanswered = 0
  #leaving = false
  requests = 0

  constructor(parts: TransmissionParts) {
    this.#parts = parts
  }

  /** Requests that the device still works on. */
  get unanswered(): number {
    return this.#unanswered
  }

  onHeader(bytes: Buffer, at: number): boolean {
    const { share, pause, violation, intake } = this.#parts
    const request = decodeRequest(bytes, at)
    if (request === undefined) {
      violation('no request where one has to begin')
      return true
    }
    if (request.command === nbd.NBD_CMD_DISC) {
      this.leave()
      return true
    }
    const isWrite = request.command === nbd.NBD_CMD_WRITE
    if (isWrite && request.lengthBytes > NBD_MAX_PAYLOAD_BYTES) {
      violation('a payload above the advertised maximum')
      return true
    }
    if (!share.take(costOf(request))) {
      pause()
      return false
    }
    this.#unanswered++
    this.requests++
    const refusal = refusalOf(request, this.#parts)
    if (!isWrite || request.lengthBytes === 0) {
      this.#start(request, refusal, undefined)
      return true
    }
    this.#incoming = request
    this.#incomingRefusal = refusal
    if (refusal === nbd.NBD_OK) intake.expect(this.#payloads.allocate(request.lengthBytes))
    else intake.skip(request.lengthBytes)
    return true
  }

  onPayload(payload: Buffer | undefined): void {
    const request = this.#incoming
    assert(request !== undefined, 'a payload belongs to a request')
    this.#incoming = undefined
    this.#start(request, this.#incomingRefusal, payload)
  }

  /** DISC, or the client ended its side: answer what is here, take nothing more. */
  leave(): void {
    this.#leaving = true
    this.#parts.intake.stop()
    const incoming = this.#incoming
    if (incoming !== undefined) {
      this.#incoming = undefined
      this.#answered(incoming)
    }
    this.#parts.leave()
  }

  #start(request: NbdRequest, refusal: number, payload: Buffer | undefined): void {
    if (refusal !== nbd.NBD_OK) {
      this.#fail(request, refusal, 'the request is not valid here')
      return
    }
    try {
      this.#dispatch(request, payload)
    } catch (error) {
      this.#failed(request, error)
    }
  }

  #dispatch(request: NbdRequest, payload: Buffer | undefined): void {
    const { device } = this.#parts
    const { offsetBytes, lengthBytes, flags, command } = request
    const fua = (flags & nbd.NBD_CMD_FLAG_FUA) !== 0
    if (lengthBytes === 0 && command !== nbd.NBD_CMD_FLUSH) {
      this.#succeedEmpty(request)
      return
    }
    switch (command) {
      case nbd.NBD_CMD_READ:
        device.read(offsetBytes, lengthBytes).then(
          parts => this.#answerRead(request, parts),
          error => this.#failed(request, error)
        )
        return
      case nbd.NBD_CMD_WRITE:
        assert(payload?.length === lengthBytes, 'a write is started with its whole payload')
        this.#await(request, device.write(offsetBytes, payload, { fua }))
        return
      case nbd.NBD_CMD_FLUSH:
        this.#await(request, device.flush())
        return
      case nbd.NBD_CMD_TRIM:
        this.#await(request, device.trim(offsetBytes, lengthBytes, { fua }))
        return
      case nbd.NBD_CMD_WRITE_ZEROES: {
        const allocate = (flags & nbd.NBD_CMD_FLAG_NO_HOLE) !== 0
        this.#await(request, device.zero(offsetBytes, lengthBytes, { fua, allocate }))
        return
      }
      case nbd.NBD_CMD_BLOCK_STATUS:
        device.status(offsetBytes, lengthBytes).then(
          extents => this.#answerStatus(request, extents),
          error => this.#failed(request, error)
        )
        return
      default:
        // CACHE is advice, and nothing is nearer than where the device looks first.
        assert(command === nbd.NBD_CMD_CACHE, 'a command that is not served was refused before')
        this.#succeed(request)
    }
  }

  #await(request: NbdRequest, change: Promise<void>): void {
    change.then(
      () => this.#succeed(request),
      error => this.#failed(request, error)
    )
  }

  #answerRead(request: NbdRequest, parts: readonly Uint8Array[]): void {
    let length = 0
    for (const part of parts) length += part.length
    if (length !== request.lengthBytes) {
      this.#parts.log.error({ request, length }, 'a device answered a read with another length')
      this.#fail(request, nbd.NBD_EIO, 'the device answered with another length')
      return
    }
    const { output, structured } = this.#parts
    if (structured) {
      const { block, at } = output.reserve(CHUNK_HEADER_BYTES + OFFSET_BYTES)
      putChunkHeader(block, at, request, {
        flags: nbd.NBD_REPLY_FLAG_DONE,
        type: nbd.NBD_REPLY_TYPE_OFFSET_DATA,
        lengthBytes: OFFSET_BYTES + length
      })
      putOffset(block, at + CHUNK_HEADER_BYTES, request.offsetBytes)
    } else {
      const { block, at } = output.reserve(SIMPLE_REPLY_BYTES)
      putSimpleReply(block, at, request, nbd.NBD_OK)
    }
    for (const part of parts) output.put(part)
    this.#answered(request)
  }

  #answerStatus(request: NbdRequest, extents: readonly DeviceExtent[]): void {
    const one = (request.flags & nbd.NBD_CMD_FLAG_REQ_ONE) !== 0
    const merged = mergeExtents(extents, request.lengthBytes, one ? 1 : NBD_MAX_STATUS_DESCRIPTORS)
    if (merged.length === 0) {
      this.#fail(request, nbd.NBD_EIO, 'the device answered with no extent')
      return
    }
    const hole = nbd.NBD_STATE_HOLE | nbd.NBD_STATE_ZERO
    const descriptors = merged.map(extent => {
      return { lengthBytes: extent.lengthBytes, state: extent.hole ? hole : 0 }
    })
    const body = encodeStatus(ALLOCATION_CONTEXT_ID, descriptors)
    this.#putChunk(request, nbd.NBD_REPLY_TYPE_BLOCK_STATUS, body)
    this.#answered(request)
  }

  #succeed(request: NbdRequest): void {
    const { block, at } = this.#parts.output.reserve(SIMPLE_REPLY_BYTES)
    putSimpleReply(block, at, request, nbd.NBD_OK)
    this.#answered(request)
  }

  #succeedEmpty(request: NbdRequest): void {
    if (request.command !== nbd.NBD_CMD_READ || !this.#parts.structured) {
      this.#succeed(request)
      return
    }
    this.#putChunk(request, nbd.NBD_REPLY_TYPE_NONE, Buffer.alloc(0))
    this.#answered(request)
  }

  #failed(request: NbdRequest, error: unknown): void {
    const { log } = this.#parts
    log.debug({ command: request.command, error: messageOf(error) }, 'nbd: a request failed')
    this.#fail(request, nbdErrorOf(error), messageOf(error))
  }

  /** Once structured replies are agreed on, a read and a block status may not be answered simply. */
  #fail(request: NbdRequest, error: number, message: string): void {
    const { output, structured } = this.#parts
    const chunked =
      request.command === nbd.NBD_CMD_READ || request.command === nbd.NBD_CMD_BLOCK_STATUS
    if (structured && chunked) {
      this.#putChunk(request, nbd.NBD_REPLY_TYPE_ERROR, encodeError(error, message))
    } else {
      const { block, at } = output.reserve(SIMPLE_REPLY_BYTES)
      putSimpleReply(block, at, request, error)
    }
    this.#answered(request)
  }

  #putChunk(request: NbdRequest, type: number, body: Buffer): void {
    const { output } = this.#parts
    const { block, at } = output.reserve(CHUNK_HEADER_BYTES)
    const flags = nbd.NBD_REPLY_FLAG_DONE
    putChunkHeader(block, at, request, { flags, type, lengthBytes: body.length })
    if (body.length > 0) output.put(body)
  }

  #answered(request: NbdRequest): void {
    this.#unanswered--
    assert(this.#unanswered >= 0, 'a request is answered once')
    this.#parts.output.charge(costOf(request))
    if (this.#leaving) this.#parts.leave()
  }
}

/** At most `limit` extents and `lengthBytes` in all, neighbours of one kind as one. */
function mergeExtents(
  extents: readonly DeviceExtent[],
  lengthBytes: number,
  limit: number
): DeviceExtent[] {
  const merged: DeviceExtent[] = []
  let left = lengthBytes
  for (const extent of extents) {
    const length = Math.min(extent.lengthBytes, left)
    if (length <= 0) break
    const last = merged.at(-1)
    if (last !== undefined && last.hole === extent.hole) {
      merged[merged.length - 1] = { lengthBytes: last.lengthBytes + length, hole: last.hole }
    } else {
      if (merged.length === limit) break
      merged.push({ lengthBytes: length, hole: extent.hole })
    }
    left -= length
  }
  return merged
}
