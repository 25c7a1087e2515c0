/**
 * The NBD server of a gateway: exports by name, listeners, and the connections of their clients.
 * protocols/nbd/PROTOCOL.md says what of the NBD specification it serves.
 *
 *   listener --> connection --> export --> BlockDevice
 *
 * Invariants: a client sees an export only between `addExport` and `removeExport`; once the latter
 * resolved, no request of any client is with its device; memory is bounded by budget.ts.
 */
import type { Server, Socket } from 'node:net'
import { ShoalError } from '../../protocols/fault.ts'
import { NBD_MAX_STRING_BYTES } from '../../protocols/limits.ts'
import { NBD_FLAG_READ_ONLY, NBD_SERVED_FLAGS } from '../../protocols/nbd/constants.ts'
import type { ExportInfo } from '../../protocols/nbd/negotiation.ts'
import type { BlockDevice } from '../block-device.ts'
import {
  NBD_MAX_CONNECTIONS,
  NBD_MAX_DESCRIPTION_BYTES,
  NBD_MAX_EXPORTS,
  NBD_PREFERRED_BLOCK_BYTES,
  NBD_TCP_KEEPALIVE_MS
} from '../limits.ts'
import type { Clock, Log } from '../ports.ts'
import { Budget, type BudgetLimits, defaultBudget } from './budget.ts'
import { Connection, type ConnectionInfo, type ServedExport } from './connection.ts'
import { Intake } from './intake.ts'
import { type Listening, listenOnTcp, listenOnUnix } from './listen.ts'
import { adopt, listenInto } from './receive.ts'
import { createSecure, type NbdServerTls, type Secure } from './tls.ts'

export interface NbdServerOptions {
  readonly clock: Clock
  readonly log: Log
  readonly limits?: Partial<BudgetLimits & { connections: number }>
}

export interface ExportOptions {
  readonly readOnly?: boolean
  readonly description?: string
  /** A power of two; the size of request that the device likes best. */
  readonly preferredBlockBytes?: number
}

export interface NbdServer {
  /** Throws NAME_TAKEN, LIMIT, BAD_INPUT. */
  addExport: (name: string, device: BlockDevice, options?: ExportOptions) => void
  /** Disconnects its clients; resolves when the device works on none of their requests. */
  removeExport: (name: string) => Promise<void>
  exports: () => string[]
  /** Throws PORT_TAKEN, BAD_INPUT. */
  listenUnix: (path: string, options?: { mode?: number }) => Promise<void>
  /** Port 0 takes a free one. Throws PORT_TAKEN, BAD_INPUT. */
  listenTcp: (options: {
    host: string
    port: number
    tls?: NbdServerTls
  }) => Promise<{ port: number }>
  connections: () => ConnectionInfo[]
  /** Ends listeners and connections; resolves as `removeExport` does. */
  close: () => Promise<void>
}

interface Export extends ServedExport {
  readonly info: Omit<ExportInfo, 'sizeBytes'>
}

export function createNbdServer({ clock, log, limits = {} }: NbdServerOptions): NbdServer {
  const { connections: maxConnections = NBD_MAX_CONNECTIONS, ...bytes } = limits
  const budget = new Budget({ ...defaultBudget, ...bytes })
  const exported = new Map<string, Export>()
  const connections = new Set<Connection>()
  const listeners = new Set<Server>()
  let lastId = 0

  const exports = {
    find: (name: string) => infoOf(exported.get(name)),
    all: () =>
      [...exported.values()].map(one => ({ ...one.info, sizeBytes: one.device.sizeBytes() })),
    served: (name: string) => exported.get(name)
  }

  /** `admitted` are the listener's own: strangers at a TCP port take no place at the socket. */
  function accept(accepted: Socket, admitted: Set<Connection>, secure?: Secure): void {
    if (admitted.size >= maxConnections) {
      log.warn({ connections: admitted.size }, 'nbd: a client was turned away: too many')
      accepted.destroy()
      return
    }
    const remote = accepted.remoteAddress ?? 'unix'
    // Real handler and header length are the handshake's, which is made with the connection.
    const intake = new Intake({ onHeader: () => true, onPayload: () => undefined }, 1)
    const socket = secure === undefined ? adopt(accepted, intake) : accepted
    if (secure !== undefined) listenInto(socket, intake)
    if (remote !== 'unix') socket.setKeepAlive(true, NBD_TCP_KEEPALIVE_MS)
    const id = ++lastId
    const connection = new Connection({
      ...{ id, remote, socket, intake, exports, budget, clock, log, secure }
    })
    connections.add(connection)
    admitted.add(connection)
    void connection.settled.then(() => {
      connections.delete(connection)
      admitted.delete(connection)
    })
    connection.start()
  }

  function keep({ server }: Listening): void {
    listeners.add(server)
    server.on('error', error => log.error({ error: error.message }, 'nbd: listener'))
  }

  async function disconnect(which: (connection: Connection) => boolean, why: string) {
    const leaving = [...connections].filter(which)
    for (const connection of leaving) connection.close(why)
    await Promise.all(leaving.map(connection => connection.settled))
  }

  return {
    addExport: (name, device, options = {}) => {
      checkExport(name, options)
      if (exported.has(name)) {
        throw new ShoalError({ code: 'NAME_TAKEN', name }, `${name} is exported already`)
      }
      if (exported.size >= NBD_MAX_EXPORTS) {
        throw new ShoalError({ code: 'LIMIT', limit: 'NBD_MAX_EXPORTS' }, 'too many NBD exports')
      }
      exported.set(name, makeExport(name, device, options))
    },
    removeExport: async name => {
      exported.delete(name)
      await disconnect(one => one.exportName === name, 'the export was removed')
    },
    exports: () => [...exported.keys()],
    listenUnix: async (path, { mode = 0o600 } = {}) => {
      const admitted = new Set<Connection>()
      keep(await listenOnUnix(path, mode, socket => accept(socket, admitted)))
    },
    listenTcp: async ({ host, port, tls }) => {
      const secure = tls === undefined ? undefined : createSecure(tls)
      const encrypted = secure !== undefined
      const admitted = new Set<Connection>()
      const take = (socket: Socket) => accept(socket, admitted, secure)
      const listening = await listenOnTcp(host, port, encrypted, take)
      keep(listening)
      return { port: listening.port ?? port }
    },
    connections: () => [...connections].map(connection => connection.info()),
    close: async () => {
      exported.clear()
      const closed = [...listeners].map(server => new Promise(done => server.close(done)))
      listeners.clear()
      await disconnect(() => true, 'the server was closed')
      await Promise.all(closed)
    }
  }
}

function infoOf(found: Export | undefined): ExportInfo | undefined {
  return found && { ...found.info, sizeBytes: found.device.sizeBytes() }
}

function makeExport(name: string, device: BlockDevice, options: ExportOptions): Export {
  const readOnly = options.readOnly ?? false
  return {
    device,
    readOnly,
    info: {
      name,
      description: options.description ?? '',
      flags: readOnly ? NBD_SERVED_FLAGS | NBD_FLAG_READ_ONLY : NBD_SERVED_FLAGS,
      preferredBlockBytes: options.preferredBlockBytes ?? NBD_PREFERRED_BLOCK_BYTES
    }
  }
}

function checkExport(name: string, { description = '' }: ExportOptions): void {
  const length = Buffer.byteLength(name)
  if (length === 0 || length > NBD_MAX_STRING_BYTES || name.includes('\0')) {
    throw new ShoalError({ code: 'BAD_INPUT', field: 'name' }, 'not a name for an NBD export')
  }
  if (Buffer.byteLength(description) > NBD_MAX_DESCRIPTION_BYTES) {
    const message = `a description of an NBD export has at most ${NBD_MAX_DESCRIPTION_BYTES} bytes`
    throw new ShoalError({ code: 'BAD_INPUT', field: 'description' }, message)
  }
}
