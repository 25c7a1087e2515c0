/**
 * Yamux as we use it: windows fit for the stream adapter, and window updates as its reference
 * implementations send them, only once half of the window is used up. js-yamux sends one for every
 * data frame that arrives: at small requests that is a second packet, TLS record and wake-up each
 * way for every request.
 *
 * Invariants: a stream's opening frames (SYN, ACK) are sent as ever; a receiver never leaves the
 * sender less than half of a window without an update, so nobody waits for one that does not come.
 * It reaches into fields that js-yamux calls private: the version is pinned, and a version that
 * names them otherwise is found when the first muxer is made.
 */
import type { MessageStream, StreamMuxer, StreamMuxerFactory } from '@libp2p/interface'
import { yamux } from '@libp2p/yamux'
import { assert } from '../../protocols/assert.ts'
import {
  MAX_STREAMS_PER_CONNECTION,
  STREAM_INITIAL_WINDOW_BYTES,
  STREAM_READ_BUFFER_BYTES,
  STREAM_WINDOW_BYTES
} from '../limits.ts'

/** js-yamux's StreamState, as far as it matters here. */
const INIT = 0
const SYN_RECEIVED = 2

interface YamuxStream {
  state: number
  recvWindow: number
  recvWindowCapacity: number
  sendWindowUpdate: () => void
}

interface YamuxMuxer extends StreamMuxer {
  _newStream: (...args: unknown[]) => YamuxStream
}

export function muxer(): () => StreamMuxerFactory {
  const factory = yamux({
    maxInboundStreams: MAX_STREAMS_PER_CONNECTION,
    maxOutboundStreams: MAX_STREAMS_PER_CONNECTION,
    maxEarlyStreams: 64,
    streamOptions: {
      // The same on both sides, or a stream stands still: a change needs a new protocol name.
      initialStreamWindowSize: STREAM_INITIAL_WINDOW_BYTES,
      maxStreamWindowSize: STREAM_WINDOW_BYTES,
      maxReadBufferLength: STREAM_READ_BUFFER_BYTES
    }
  })()
  const createStreamMuxer = (connection: MessageStream): StreamMuxer =>
    withFewerUpdates(factory.createStreamMuxer(connection) as unknown as YamuxMuxer)
  return () => ({ protocol: factory.protocol, createStreamMuxer })
}

function withFewerUpdates(yamuxMuxer: YamuxMuxer): StreamMuxer {
  const newStream = yamuxMuxer._newStream
  assert(typeof newStream === 'function', 'js-yamux makes its streams in _newStream')
  yamuxMuxer._newStream = (...args) => {
    const stream = newStream.apply(yamuxMuxer, args)
    const update = stream.sendWindowUpdate
    assert(
      typeof update === 'function' && Number.isInteger(stream.recvWindowCapacity),
      'js-yamux keeps its receive window where we look'
    )
    stream.sendWindowUpdate = () => {
      const isOpening = stream.state === INIT || stream.state === SYN_RECEIVED
      if (isOpening || stream.recvWindowCapacity <= stream.recvWindow / 2) update.call(stream)
    }
    return stream
  }
  return yamuxMuxer
}
