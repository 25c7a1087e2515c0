/**
 * A read of whole blocks of one chunk, verified here once more. A block that arrives damaged is
 * asked for once again: the damage may be the network's; then it is BAD_CHECKSUM.
 */
import { firstBadBlock } from '../../protocols/checksum.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { ChunkKey, PlacementEpoch } from '../../protocols/ids.ts'
import { type Answer, Op } from '../../protocols/shard-io/messages.ts'
import { type LinkRequest, NO_CRCS, NO_DATA } from './request.ts'
import type { ShardLink } from './shard-link.ts'

export interface ReadSink<T> {
  partDone: (index: number, result: T) => void
  partFailed: (error: Error) => void
}

abstract class Question<T> implements LinkRequest {
  abstract readonly op: Op
  readonly flags = 0
  readonly chunk: ChunkKey
  epoch: PlacementEpoch
  readonly offsetBytes: number
  readonly lengthBytes: number
  readonly crcs = NO_CRCS
  readonly data = NO_DATA
  readonly startedAt: number
  sentSession = 0
  declare link?: ShardLink | undefined
  protected readonly sink: ReadSink<T>
  protected readonly index: number

  constructor(
    chunk: ChunkKey,
    epoch: PlacementEpoch,
    offsetBytes: number,
    lengthBytes: number,
    startedAt: number,
    sink: ReadSink<T>,
    index: number
  ) {
    this.chunk = chunk
    this.epoch = epoch
    this.offsetBytes = offsetBytes
    this.lengthBytes = lengthBytes
    this.startedAt = startedAt
    this.sink = sink
    this.index = index
  }

  abstract answered(answer: Answer): void

  failed(error: Error): void {
    this.sink.partFailed(error)
  }
}

export class ReadRequest extends Question<Uint8Array> {
  readonly op = Op.read
  #isSecondTime = false

  answered(answer: Answer): void {
    const { data, crcs } = answer
    if (data.length === this.lengthBytes && firstBadBlock(data, crcs) === -1) {
      this.sink.partDone(this.index, data)
    } else if (!this.#isSecondTime && this.link !== undefined) {
      this.#isSecondTime = true
      this.link.submit(this)
    } else {
      const message = 'a block arrived damaged, twice'
      this.failed(new ShoalError({ code: 'BAD_CHECKSUM' }, message))
    }
  }
}

/** Which blocks are allocated: lengths in blocks, alternating data, hole, data ... */
export class MapRequest extends Question<Uint32Array> {
  readonly op = Op.map

  answered(answer: Answer): void {
    this.sink.partDone(this.index, answer.runs)
  }
}
