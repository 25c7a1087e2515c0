/**
 * Where clients come in. A unix socket belongs to its owner (mode 0600 unless told otherwise); TCP
 * beyond this host is refused without TLS.
 *
 * Invariants: a socket file that somebody answers on is never replaced; at no moment does a socket
 * of ours admit more than its mode says.
 */
import { chmod, lstat, unlink } from 'node:fs/promises'
import { connect, createServer, isIP, type ListenOptions, type Server, type Socket } from 'node:net'
import { ShoalError } from '../../protocols/fault.ts'
import { UNIX_PATH_BYTES } from '../limits.ts'

export interface Listening {
  readonly server: Server
  /** The port that was really taken, for TCP. */
  readonly port: number | undefined
}

type Accept = (socket: Socket) => void

/** Throws PORT_TAKEN if somebody listens there, BAD_INPUT if it is no place for a socket. */
export async function listenOnUnix(path: string, mode: number, accept: Accept): Promise<Listening> {
  if (Buffer.byteLength(path) > UNIX_PATH_BYTES) {
    const message = `${path} is too long for a socket: ${UNIX_PATH_BYTES} bytes are the most`
    throw new ShoalError({ code: 'BAD_INPUT', field: 'socket' }, message)
  }
  await removeStale(path)
  const { server } = await listenMasked(path, mode, accept)
  await chmod(path, mode)
  return { server, port: undefined }
}

/** Throws PORT_TAKEN, or BAD_INPUT: an address that is not here, or open to others without TLS. */
export async function listenOnTcp(
  host: string,
  port: number,
  encrypted: boolean,
  accept: Accept
): Promise<Listening> {
  if (!encrypted && !isLoopback(host)) {
    const message =
      `NBD on ${host} could be reached from other hosts, and it has neither passwords nor ` +
      'encryption of its own: give a certificate, a key and the authority of the clients, ' +
      'or listen on 127.0.0.1 or a unix socket'
    throw new ShoalError({ code: 'BAD_INPUT', field: 'host' }, message)
  }
  return listen({ host, port }, `${host}:${port}`, accept)
}

/** The socket is bound before this returns, so the mask holds for nobody else's files. */
function listenMasked(path: string, mode: number, accept: Accept): Promise<Listening> {
  const umask = process.umask(0o777 & ~mode)
  try {
    return listen({ path }, path, accept)
  } finally {
    process.umask(umask)
  }
}

export function isLoopback(host: string): boolean {
  if (host === 'localhost' || host === '::1') return true
  return isIP(host) === 4 && host.startsWith('127.')
}

function listen(where: ListenOptions, name: string, accept: Accept): Promise<Listening> {
  return new Promise((resolve, reject) => {
    const server = createServer(
      { pauseOnConnect: true, allowHalfOpen: true, noDelay: true },
      accept
    )
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') {
        const message = `${name} is in use by another program`
        reject(new ShoalError({ code: 'PORT_TAKEN', address: name }, message, { cause: error }))
        return
      }
      const message = `cannot listen on ${name}: ${error.code ?? error.message}`
      reject(new ShoalError({ code: 'BAD_INPUT', field: 'listen' }, message, { cause: error }))
    })
    server.listen(where, () => {
      const address = server.address()
      resolve({ server, port: typeof address === 'object' ? address?.port : undefined })
    })
  })
}

async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined)
  if (found === undefined) return
  if (!found.isSocket()) {
    const message = `${path} is there already and is no socket; move it away or choose another`
    throw new ShoalError({ code: 'BAD_INPUT', field: 'socket' }, message)
  }
  if (await isAnswered(path)) {
    const message = `${path} is in use by another program`
    throw new ShoalError({ code: 'PORT_TAKEN', address: path }, message)
  }
  await unlink(path).catch(() => undefined)
}

/** True unless nobody listens: a socket that we may not connect to is somebody's. */
function isAnswered(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ path })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', (error: NodeJS.ErrnoException) => {
      socket.destroy()
      resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT')
    })
  })
}
