/**
 * Gets the bytes of a socket into an intake with as few copies as the platform allows.
 *
 * Node lets only sockets that we dial receive into our own buffer (`onread`). For an accepted one
 * its handle is moved into a socket that was made with that option (works on Node 20, 22 and 24).
 * Measured on memory: 190,000 instead of 140,000 writes of 4 KiB/s at 32 in flight; no difference
 * for reads and large writes. Where the handle does not look as expected, and under TLS, ordinary
 * 'data' events do the same.
 */
import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Intake } from './intake.ts'

interface StreamHandle {
  readonly useUserBuffer?: unknown
}

interface AdoptOptions extends SocketConstructorOpts {
  readonly handle: StreamHandle
  readonly manualStart: boolean
  readonly onread: OnReadOpts
}

/** For net.connect, and for `adopt`. */
export function onreadInto(intake: Intake): OnReadOpts {
  return {
    buffer: () => intake.target(),
    callback: (length, buffer) => {
      intake.push((buffer as Buffer).subarray(0, length))
      return true
    }
  }
}

/** By 'data' events. Returns what takes the listener off again. */
export function listenInto(socket: Duplex, intake: Intake): () => void {
  const listener = (bytes: Buffer) => intake.push(bytes)
  socket.on('data', listener)
  return () => socket.off('data', listener)
}

/**
 * The socket to use in place of `accepted`, which came paused (`pauseOnConnect`) and has no
 * listeners yet. Bytes flow after `resume`.
 */
export function adopt(accepted: Socket, intake: Intake): Socket {
  const owner = accepted as unknown as { _handle: StreamHandle | null }
  const handle = owner._handle
  if (handle === null || typeof handle.useUserBuffer !== 'function') {
    listenInto(accepted, intake)
    return accepted
  }
  owner._handle = null
  const options: AdoptOptions = {
    handle,
    manualStart: true,
    allowHalfOpen: true,
    onread: onreadInto(intake)
  }
  const socket = new Socket(options)
  // It lets go of its server, whose `close` then waits only for sockets that we do not have.
  accepted.destroy()
  return socket
}
