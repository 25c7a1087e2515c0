/**
 * Sends spoiled bytes to a server over real sockets, many at a time, and waits until the server
 * has dealt with each: it must close a connection whose client has ended in the middle.
 */
import { createConnection } from 'node:net'
import type { SeededRandom } from './process-random.ts'

const PARALLEL = 16
/** A server that leaves an ended connection open longer than this has a leak. */
const CLOSE_MS = 10_000

export interface FuzzResult {
  readonly sent: number
  /** Connections that the server never ended. */
  readonly hanging: number
}

/** Runs `shoot` `count` times, `PARALLEL` at once; each says whether the server ended in time. */
export async function volley(count: number, shoot: () => Promise<boolean>): Promise<FuzzResult> {
  let sent = 0
  let hanging = 0
  const gun = async (): Promise<void> => {
    while (sent < count) {
      sent++
      if (!(await shoot())) hanging++
    }
  }
  await Promise.all(Array.from({ length: PARALLEL }, gun))
  return { sent, hanging }
}

/** One connection: all bytes (cut somewhere, to vary the packets), then our end. */
export function shootSocket(
  target: { path: string } | { host: string; port: number },
  bytes: Buffer,
  random: SeededRandom
): Promise<boolean> {
  return new Promise(resolve => {
    const socket = createConnection({ ...target, allowHalfOpen: true })
    const timer = setTimeout(() => {
      socket.destroy()
      resolve(false)
    }, CLOSE_MS)
    const done = (): void => {
      clearTimeout(timer)
      resolve(true)
    }
    const cut = random.below(bytes.length + 1)
    socket.on('error', () => {})
    socket.on('close', done)
    socket.on('data', () => {})
    // The server's end is ours too; `close` follows.
    socket.on('end', () => socket.end())
    socket.on('connect', () => {
      socket.write(bytes.subarray(0, cut))
      setImmediate(() => socket.end(bytes.subarray(cut)))
    })
  })
}
