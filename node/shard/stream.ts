/**
 * shard-io over a ByteStream: frames in, frames out. Frames of one read are received together and
 * then offered to the scheduler; answers of one tick leave as one buffer, by the stream itself.
 *
 * Invariants: a malformed frame closes this stream and is counted, and nothing else notices; read
 * data leaves by reference.
 */
import { MAX_SHARD_IO_FRAME_BYTES } from '../../protocols/limits.ts'
import { decodeRequest, encodeAnswer } from '../../protocols/shard-io/messages.ts'
import { SHARD_HELLO_TIMEOUT_MS } from '../limits.ts'
import type { ByteStream, Clock } from '../ports.ts'
import { FrameReader } from '../stream/frames.ts'
import type { Sink } from './connection.ts'
import type { Reception } from './reception.ts'
import type { Scheduler } from './scheduler.ts'

export function serveStream(
  stream: ByteStream,
  reception: Reception,
  scheduler: Scheduler,
  clock: Clock
): void {
  const connection = reception.connect(stream.peer, streamSink(stream))
  const reader = new FrameReader({
    maxBytes: MAX_SHARD_IO_FRAME_BYTES,
    onFrame: frame => {
      const request = decodeRequest(frame)
      if (typeof request === 'string') reception.violation(connection, request)
      else reception.receive(connection, request)
    },
    onBad: reason => reception.violation(connection, reason)
  })
  const timer = clock.after(SHARD_HELLO_TIMEOUT_MS, () => {
    if (connection.at === 'new') reception.abort(connection, new Error('no hello came in time'))
  })
  stream.onBytes(bytes => {
    // Bytes behind a violation are nobody's.
    if (connection.at === 'closed') return
    reception.guard(connection, () => {
      reception.arrived(connection)
      reader.push(bytes)
      reception.heard(connection)
      scheduler.offer(connection)
    })
  })
  // A gateway that ends its side wants no more answers: it counts requests, not bytes.
  stream.onEnd(() => {
    reception.closed(connection)
    stream.end().catch(() => {
      // It broke instead of ending: closed either way.
    })
  })
  stream.onClose(() => {
    timer.cancel()
    reception.closed(connection)
  })
}

function streamSink(stream: ByteStream): Sink {
  return {
    answer: answer => {
      let isRoom = true
      for (const part of encodeAnswer(answer)) isRoom = stream.write(part)
      return isRoom
    },
    drained: () => stream.drained(),
    pause: () => stream.pause(),
    resume: () => stream.resume(),
    abort: reason => stream.abort(reason)
  }
}
