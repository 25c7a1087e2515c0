/** An NBD server in this process, at a unix socket in a directory of its own, and what it logged. */
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../node/clock.ts'
import { connectNbd, type NbdClient } from '../../node/nbd/client.ts'
import { createNbdServer, type NbdServer, type NbdServerOptions } from '../../node/nbd/server.ts'
import type { Clock } from '../../node/ports.ts'
import { MemoryDevice } from './nbd-memory-device.ts'

export interface NbdHarness extends AsyncDisposable {
  readonly server: NbdServer
  readonly device: MemoryDevice
  readonly directory: string
  readonly socketPath: string
  /** Warnings and errors. */
  readonly logged: string[]
  /** A client of the export `disk`. */
  client: (options?: { exportName?: string; structured?: boolean }) => Promise<NbdClient>
  /** A bare connection, to send anything. */
  dial: () => Socket
}

export async function startNbd(
  options: { sizeBytes?: number; clock?: Clock; limits?: NbdServerOptions['limits'] } = {}
): Promise<NbdHarness> {
  const directory = await mkdtemp(join(tmpdir(), 'shoal-nbd-'))
  const socketPath = join(directory, 'nbd.sock')
  const logged: string[] = []
  const keep = (fields: object, message: string) => {
    logged.push(`${message} ${JSON.stringify(fields)}`)
  }
  const quiet = () => undefined
  const log = { debug: quiet, info: quiet, warn: keep, error: keep }
  const { clock = systemClock, limits = {}, sizeBytes = 8 * 1024 * 1024 } = options
  const server = createNbdServer({ clock, log, limits })
  const device = new MemoryDevice(sizeBytes)
  server.addExport('disk', device, { description: 'a disk in memory' })
  await server.listenUnix(socketPath)
  const clients: NbdClient[] = []
  return {
    ...{ server, device, directory, socketPath, logged },
    client: async ({ exportName = 'disk', structured = true } = {}) => {
      const client = await connectNbd({ socketPath, exportName, structured, timeoutMs: 20_000 })
      clients.push(client)
      return client
    },
    dial: () => {
      const socket = connect({ path: socketPath, allowHalfOpen: true })
      socket.on('error', () => undefined)
      return socket
    },
    async [Symbol.asyncDispose]() {
      await server.close()
      await Promise.all(clients.map(client => client.close()))
      await rm(directory, { recursive: true, force: true })
    }
  }
}

/** Waits until `condition` holds, looking after every turn of the event loop, 10 s at most. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not in time: ${what}`)
    await new Promise(resolve => setImmediate(resolve))
  }
}
