/**
 * Never two shards serving one replica, as the asking side would see it: the answers that shard
 * servers give, on streams and to gateways of their own node, compared chunk by chunk.
 *
 *   a done change under an older epoch         never after any answer under a newer one
 *   a read that was answered                   nor if it arrived after an answer under a newer one
 *
 * A read that was on its way when the chunk passed on may be answered late: it tells what was there
 * while it was asked.
 */
import type { ByteStream } from '../../node/ports.ts'
import type { LocalConnection, ShardServer } from '../../node/shard/types.ts'
import { FrameReader } from '../../node/stream/frames.ts'
import type { PlacementEpoch } from '../../protocols/ids.ts'
import { chunkName, compareEpochs } from '../../protocols/ids.ts'
import { MAX_SHARD_IO_FRAME_BYTES } from '../../protocols/limits.ts'
import {
  type Answer,
  decodeAnswer,
  decodeRequest,
  Op,
  type Request,
  Status
} from '../../protocols/shard-io/messages.ts'
import type { SimStream } from './stream.ts'

interface Asked {
  readonly op: Op
  readonly chunk: string
  readonly epoch: PlacementEpoch
  readonly arrived: number
}

export class ServeCheck {
  readonly #fail: (why: string) => void
  /** The newest epoch under which each chunk was answered, and when the first time. */
  readonly #newest = new Map<string, { epoch: PlacementEpoch; since: number }>()
  /** Counts arrivals and answers. */
  #moment = 0

  constructor(fail: (why: string) => void) {
    this.#fail = fail
  }

  /** The server's end of a stream of shard-io, observed. */
  stream(server: string, stream: SimStream): ByteStream {
    const asked = new Map<number, Asked>()
    const requests = reader(bytes => {
      const request = decodeRequest(bytes)
      if (typeof request !== 'string') this.#asked(asked, request)
    })
    const answers = reader(bytes => {
      const answer = decodeAnswer(bytes)
      if (typeof answer !== 'string') this.#answered(server, asked, answer)
    })
    return {
      peer: stream.peer,
      write: bytes => {
        if (stream.isOpen) answers.push(bytes)
        return stream.write(bytes)
      },
      onBytes: listener => {
        stream.onBytes(bytes => {
          requests.push(bytes)
          listener(bytes)
        })
      },
      drained: () => stream.drained(),
      onEnd: listener => stream.onEnd(listener),
      onClose: listener => stream.onClose(listener),
      pause: () => stream.pause(),
      resume: () => stream.resume(),
      end: () => stream.end(),
      abort: reason => stream.abort(reason)
    }
  }

  /** From now on the connections of gateways of the same node are observed too. */
  local(server: string, shards: ShardServer): void {
    const connect = shards.connectLocal.bind(shards)
    shards.connectLocal = () => this.#connection(server, connect())
  }

  #connection(server: string, inner: LocalConnection): LocalConnection {
    const asked = new Map<number, Asked>()
    return {
      send: request => {
        this.#asked(asked, request)
        return inner.send(request)
      },
      onAnswer: listener => {
        inner.onAnswer(answer => {
          this.#answered(server, asked, answer)
          listener(answer)
        })
      },
      onClose: listener => inner.onClose(listener),
      close: () => inner.close()
    }
  }

  #asked(asked: Map<number, Asked>, { op, chunk, epoch, lengthBytes, requestId }: Request): void {
    if (op === Op.hello || op === Op.flush || lengthBytes === 0) return
    asked.set(requestId, { op, chunk: chunkName(chunk), epoch, arrived: ++this.#moment })
  }

  #answered(server: string, asked: Map<number, Asked>, { requestId, status }: Answer): void {
    const request = asked.get(requestId)
    asked.delete(requestId)
    if (request === undefined || status !== Status.ok) return
    const { op, chunk, epoch, arrived } = request
    const newest = this.#newest.get(chunk)
    const order = newest === undefined ? 1 : compareEpochs(epoch, newest.epoch)
    if (order > 0) this.#newest.set(chunk, { epoch, since: ++this.#moment })
    if (newest === undefined || order >= 0) return
    const isLook = op === Op.read || op === Op.map
    if (isLook && arrived < newest.since) return
    this.#fail(`${server} served ${chunk} at an epoch after it was served at a greater one`)
  }
}

function reader(onFrame: (frame: Uint8Array) => void): FrameReader {
  return new FrameReader({ maxBytes: MAX_SHARD_IO_FRAME_BYTES, onFrame, onBad: () => {} })
}
