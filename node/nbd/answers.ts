/**
 * How results of the device become replies. Once structured replies are agreed on, reads and block
 * statuses are answered with them, everything else simply, as the specification allows.
 */
import { NBD_MAX_STATUS_DESCRIPTORS } from '../../protocols/limits.ts'
import * as nbd from '../../protocols/nbd/constants.ts'
import { ALLOCATION_CONTEXT_ID } from '../../protocols/nbd/negotiation.ts'
import {
  CHUNK_HEADER_BYTES,
  encodeError,
  encodeStatus,
  type NbdRequest,
  OFFSET_BYTES,
  putChunkHeader,
  putOffset,
  putSimpleReply,
  SIMPLE_REPLY_BYTES
} from '../../protocols/nbd/transmission.ts'
import type { DeviceExtent } from '../block-device.ts'
import type { Output } from './output.ts'

export class Answers {
  readonly #output: Output
  readonly #structured: boolean

  constructor(output: Output, structured: boolean) {
    this.#output = output
    this.#structured = structured
  }

  /** `parts` are exactly what was asked for; always one chunk, as DF wants it. */
  data(request: NbdRequest, parts: readonly Uint8Array[]): void {
    const output = this.#output
    if (this.#structured) {
      const { block, at } = output.reserve(CHUNK_HEADER_BYTES + OFFSET_BYTES)
      putChunkHeader(block, at, request, {
        flags: nbd.NBD_REPLY_FLAG_DONE,
        type: nbd.NBD_REPLY_TYPE_OFFSET_DATA,
        lengthBytes: OFFSET_BYTES + request.lengthBytes
      })
      putOffset(block, at + CHUNK_HEADER_BYTES, request.offsetBytes)
    } else {
      this.#simple(request, nbd.NBD_OK)
    }
    for (const part of parts) output.put(part)
  }

  status(request: NbdRequest, extents: readonly DeviceExtent[]): void {
    const one = (request.flags & nbd.NBD_CMD_FLAG_REQ_ONE) !== 0
    const merged = mergeExtents(extents, request.lengthBytes, one ? 1 : NBD_MAX_STATUS_DESCRIPTORS)
    const hole = nbd.NBD_STATE_HOLE | nbd.NBD_STATE_ZERO
    const descriptors = merged.map(extent => {
      return { lengthBytes: extent.lengthBytes, state: extent.hole ? hole : 0 }
    })
    const body = encodeStatus(ALLOCATION_CONTEXT_ID, descriptors)
    this.#chunk(request, nbd.NBD_REPLY_TYPE_BLOCK_STATUS, body)
  }

  success(request: NbdRequest): void {
    this.#simple(request, nbd.NBD_OK)
  }

  /** To a request of no bytes. */
  empty(request: NbdRequest): void {
    const isRead = request.command === nbd.NBD_CMD_READ
    if (isRead && this.#structured) this.#chunk(request, nbd.NBD_REPLY_TYPE_NONE, Buffer.alloc(0))
    else this.#simple(request, nbd.NBD_OK)
  }

  failure(request: NbdRequest, error: number, message: string): void {
    const { command } = request
    const chunked = command === nbd.NBD_CMD_READ || command === nbd.NBD_CMD_BLOCK_STATUS
    if (this.#structured && chunked) {
      this.#chunk(request, nbd.NBD_REPLY_TYPE_ERROR, encodeError(error, message))
    } else {
      this.#simple(request, error)
    }
  }

  #simple(request: NbdRequest, error: number): void {
    const { block, at } = this.#output.reserve(SIMPLE_REPLY_BYTES)
    putSimpleReply(block, at, request, error)
  }

  #chunk(request: NbdRequest, type: number, body: Buffer): void {
    const { block, at } = this.#output.reserve(CHUNK_HEADER_BYTES)
    const flags = nbd.NBD_REPLY_FLAG_DONE
    putChunkHeader(block, at, request, { flags, type, lengthBytes: body.length })
    if (body.length > 0) this.#output.put(body)
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
    if (length <= 0) continue
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
