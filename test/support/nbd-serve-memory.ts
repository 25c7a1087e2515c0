/**
 * Serves a device in memory at a unix socket until it is stopped: a bench's and a person's tool.
 * `node test/support/nbd-serve-memory.ts SOCKET MEBIBYTES`
 */
import { systemClock } from '../../node/clock.ts'
import { createNbdServer } from '../../node/nbd/server.ts'
import { MemoryDevice } from './nbd-memory-device.ts'

const [socket = 'nbd.sock', mebibytes = '1024'] = process.argv.slice(2)
const quiet = () => undefined
const log = { debug: quiet, info: quiet, warn: console.error, error: console.error }
const server = createNbdServer({ clock: systemClock, log })
server.addExport('memory', new MemoryDevice(Number(mebibytes) * 1024 * 1024))
await server.listenUnix(socket)
process.once('SIGTERM', () => void server.close().then(() => process.exit(0)))
console.log('ready')
