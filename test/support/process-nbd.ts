/** The project's own NBD client as tests use it: one connection to the disk that a URI names. */
import { connectNbd, type NbdClient } from '../../node/nbd/client.ts'

export type NbdDisk = NbdClient

/** Longer than a restart of a node takes: what a VM would do, too. */
const TIMEOUT_MS = 60_000

/** `nbd+unix:///NAME?socket=PATH`, as `volume attach` prints it. */
export function connectDisk(uri: string): Promise<NbdDisk> {
  const { pathname, searchParams } = new URL(uri)
  const socketPath = searchParams.get('socket')
  if (socketPath === null) throw new Error(`not a unix socket: ${uri}`)
  const exportName = decodeURIComponent(pathname.slice(1))
  return connectNbd({ socketPath, exportName, timeoutMs: TIMEOUT_MS })
}
