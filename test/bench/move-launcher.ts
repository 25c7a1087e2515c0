/**
 * `node dist/bundle/move-launcher.js --dir DIR [--unpaced]`: a daemon like `shoal up`, which
 * also takes and sends plain bytes for the bench, so that a move has a stream to be compared with.
 *
 * --unpaced: copies as fast as it can, whatever that does to clients (the naive copy).
 * SIGUSR2:   sends to the member and as many bytes as `bench-send.json` in DIR says, over one
 *            stream, and writes the seconds that took to `bench-sent.json`.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { terminal } from '../../cli/io.ts'
import { openLog } from '../../cli/log.ts'
import { startDaemon } from '../../node/daemon.ts'
import { Pacer } from '../../node/moves/pace.ts'
import type { Network } from '../../node/ports.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { KiB } from '../../protocols/limits.ts'

const PROTOCOL = '/shoal-bench/sink/1'
const PIECE_BYTES = 256 * KiB

const { values } = parseArgs({
  options: { dir: { type: 'string' }, unpaced: { type: 'boolean', default: false } }
})
const { dir, unpaced } = values
if (dir === undefined) throw new Error('usage: --dir DIR [--unpaced]')

if (unpaced) Pacer.prototype.take = () => Promise.resolve()

const daemon = await startDaemon({
  dir,
  log: openLog(terminal, 'warn'),
  onShutdown: () => process.exit(0)
})
const { network } = daemon.context
network.handle(PROTOCOL, stream => {
  stream.onBytes(() => {})
  stream.onEnd(() => void stream.end())
})
process.on('SIGUSR2', () => {
  const wish = JSON.parse(readFileSync(join(dir, 'bench-send.json'), 'utf8'))
  void send(network, wish.to, wish.bytes).then(seconds => {
    const file = join(dir, 'bench-sent.json')
    writeFileSync(`${file}.new`, JSON.stringify({ seconds }))
    renameSync(`${file}.new`, file)
  })
})

/** Seconds until the other side has read all of it. */
async function send(over: Network, to: NodeId, bytes: number): Promise<number> {
  const piece = Buffer.alloc(PIECE_BYTES, 'shoal of herring ')
  const stream = await over.open(to, PROTOCOL)
  const isRead = new Promise<void>(resolve => stream.onEnd(resolve))
  stream.onBytes(() => {})
  const startMs = performance.now()
  for (let left = bytes; left > 0; left -= piece.length) {
    if (!stream.write(left < piece.length ? piece.subarray(0, left) : piece)) {
      await stream.drained()
    }
  }
  await stream.end()
  await isRead
  return (performance.now() - startMs) / 1000
}
