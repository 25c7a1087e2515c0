/** Says in words why an address cannot be listened on; libp2p's own error names no port. */
import { createServer } from 'node:net'
import { multiaddr } from '@multiformats/multiaddr'
import { messageOf, ShoalError } from '../../protocols/fault.ts'

/** Throws ShoalError PORT_TAKEN or BAD_INPUT. */
export async function assertPortsFree(listen: readonly string[]): Promise<void> {
  for (const address of listen) {
    const { host, port } = hostAndPort(address)
    if (port !== 0) await tryListen(address, host, port)
  }
}

export function listenFailure(listen: readonly string[], cause: unknown): ShoalError {
  const message = `cannot listen on ${listen.join(', ')}: ${messageOf(cause)}`
  return new ShoalError({ code: 'BAD_INPUT', field: 'listen' }, message, { cause })
}

function hostAndPort(address: string): { host: string; port: number } {
  try {
    const parts = multiaddr(address).getComponents()
    const ip = parts.find(part => part.name === 'ip4' || part.name === 'ip6')
    const port = Number(parts.find(part => part.name === 'tcp')?.value)
    if (ip?.value === undefined || !Number.isInteger(port))
      throw new Error('no IP address and port')
    return { host: ip.value, port }
  } catch (cause) {
    throw new ShoalError(
      { code: 'BAD_INPUT', field: 'listen' },
      `${address} is no address to listen on; write for example /ip4/0.0.0.0/tcp/4750`,
      { cause }
    )
  }
}

function tryListen(address: string, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', cause => reject(refused(address, port, cause)))
    server.listen({ host, port }, () => server.close(() => resolve()))
  })
}

function refused(address: string, port: number, cause: NodeJS.ErrnoException): ShoalError {
  if (cause.code !== 'EADDRINUSE') return listenFailure([address], cause)
  return new ShoalError(
    { code: 'PORT_TAKEN', address },
    `port ${port} is taken by another program: stop it, or choose another with --listen`,
    { cause }
  )
}
