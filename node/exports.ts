/**
 * Volumes of this host over NBD: one server, one unix socket in the data directory, an export for
 * each attached volume, under the volume's name.
 *
 * Invariant: an export that was removed has no client and no request in flight.
 */
import { join } from 'node:path'
import type { VolumeId } from '../protocols/ids.ts'
import type { Attachment } from './gateway/types.ts'
import type { NbdServer } from './nbd/server.ts'
import type { NbdServerTls } from './nbd/tls.ts'
import { nbdTcpUri, nbdUri } from './nbd/uri.ts'
import type { ExportPoint, ExportService } from './volumes/types.ts'

/** Anyone who may open the socket may use the volumes: the owner of the data directory only. */
const SOCKET_MODE = 0o600

/** Where NBD is served besides the unix socket; beyond loopback only with TLS. Port 0: any. */
export interface TcpExport {
  readonly host: string
  readonly port: number
  readonly tls?: NbdServerTls
}

/** Listens at DIR/nbd.sock, and on TCP if told to. Throws ShoalError PORT_TAKEN or BAD_INPUT. */
export async function openExports(
  dir: string,
  server: NbdServer,
  tcp?: TcpExport
): Promise<ExportService> {
  const socketPath = join(dir, 'nbd.sock')
  await server.listenUnix(socketPath, { mode: SOCKET_MODE })
  const port = tcp === undefined ? 0 : (await server.listenTcp(tcp)).port
  const tcpUri = (name: string): { tcpUri?: string } =>
    tcp === undefined ? {} : { tcpUri: nbdTcpUri(tcp.host, port, name, tcp.tls !== undefined) }
  const points = new Map<VolumeId, ExportPoint>()

  async function remove(volume: VolumeId): Promise<void> {
    const point = points.get(volume)
    if (point === undefined) return
    points.delete(volume)
    await server.removeExport(point.exportName)
  }

  async function add(volume: VolumeId, name: string, device: Attachment): Promise<ExportPoint> {
    await remove(volume)
    server.addExport(name, device, { description: `shoal volume ${volume}` })
    const uri = nbdUri(socketPath, name)
    const point = { uri, ...tcpUri(name), socketPath, exportName: name }
    points.set(volume, point)
    return point
  }

  function connections(volume: VolumeId): number {
    const name = points.get(volume)?.exportName
    if (name === undefined) return 0
    return server.connections().filter(connection => connection.exportName === name).length
  }

  return { add, remove, point: volume => points.get(volume), connections }
}
