/**
 * One connection to a shard: requests out, answers in. Over a stream of the mesh, or, for a
 * replica on the gateway's own node, by function calls. shard-link.ts sees no difference.
 *
 * Invariants: answers arrive in whole, decoded messages and never inside `send`; after `close`, or
 * after onClose was called, nothing arrives any more.
 */
import { ShoalError } from '../../protocols/fault.ts'
import { MAX_SHARD_IO_FRAME_BYTES } from '../../protocols/limits.ts'
import {
  type Answer,
  decodeAnswer,
  encodeRequest,
  type Request
} from '../../protocols/shard-io/messages.ts'
import type { ByteStream } from '../ports.ts'
import type { LocalConnection } from '../shard/types.ts'
import { FrameReader } from '../stream/frames.ts'

export interface ChannelListener {
  answered: (answer: Answer) => void
  /** After a `send` that returned false: more may be sent. */
  drained: () => void
  closed: (reason: Error) => void
}

export interface ShardChannel {
  /** False: wait for `drained` before more. */
  send: (request: Request) => boolean
  close: (reason: Error) => void
}

/** Frames on a stream of shard-io. */
export function streamChannel(stream: ByteStream, listener: ChannelListener): ShardChannel {
  let isOpen = true
  let isWaiting = false
  const close = (reason: Error): void => {
    if (!isOpen) return
    isOpen = false
    stream.abort(reason)
  }
  const fail = (reason: Error): void => {
    if (!isOpen) return
    close(reason)
    listener.closed(reason)
  }
  const reader = new FrameReader({
    maxBytes: MAX_SHARD_IO_FRAME_BYTES,
    onFrame: frame => {
      if (!isOpen) return
      const answer = decodeAnswer(frame)
      if (typeof answer === 'string') fail(badMessage(answer))
      else listener.answered(answer)
    },
    onBad: reason => fail(badMessage(reason))
  })
  stream.onBytes(bytes => {
    if (isOpen) reader.push(bytes)
  })
  stream.onEnd(() => fail(new ShoalError({ code: 'CLOSED' }, 'the shard ended the stream')))
  stream.onClose(error => fail(error ?? new ShoalError({ code: 'CLOSED' }, 'stream closed')))
  const wait = async (): Promise<void> => {
    isWaiting = true
    try {
      await stream.drained()
    } catch {
      return // onClose tells.
    } finally {
      isWaiting = false
    }
    if (isOpen) listener.drained()
  }
  return {
    send: request => {
      let hasRoom = true
      for (const part of encodeRequest(request)) hasRoom = stream.write(part)
      if (!hasRoom && !isWaiting) void wait()
      return hasRoom
    },
    close
  }
}

/** Function calls into the shard server of this process. */
export function localChannel(local: LocalConnection, listener: ChannelListener): ShardChannel {
  let isOpen = true
  let isWaiting = false
  local.onAnswer(answer => {
    if (!isOpen) return
    listener.answered(answer)
    if (!isWaiting) return
    isWaiting = false
    listener.drained()
  })
  local.onClose(reason => {
    if (!isOpen) return
    isOpen = false
    listener.closed(reason ?? new ShoalError({ code: 'CLOSED' }, 'the shard server closed'))
  })
  return {
    send: request => {
      isWaiting = !local.send(request)
      return !isWaiting
    },
    close: () => {
      if (!isOpen) return
      isOpen = false
      local.close()
    }
  }
}

function badMessage(problem: string): ShoalError {
  return new ShoalError({ code: 'BAD_MESSAGE', protocol: 'shard-io' }, problem)
}
