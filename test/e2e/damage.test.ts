// Goal: a rotten byte on a disk is found and is an error, never data; a full disk is an error that
// clients understand, and goes away when there is space again.
// Method: change a byte of a chunk file while its node is down; a small file system that is filled
// and then enlarged.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { BLOCK_BYTES, MiB } from '../../protocols/limits.ts'
import { Checker } from '../support/process-checker.ts'
import { mountSmall } from '../support/process-filesystem.ts'
import { withMesh } from '../support/process-mesh.ts'
import { connectDisk } from '../support/process-nbd.ts'
import { SeededRandom, seedOfRun } from '../support/process-random.ts'
import { run, runOk } from '../support/process-spawn.ts'
import { needs } from '../support/process-tools.ts'

const seed = seedOfRun()
const WEST = { name: 'west', region: 'eu-west', capacity: '2G' }
const GATE = { name: 'gate', region: 'eu-west', capacity: '0' }

describe('damage and shortage', () => {
  it('a flipped byte in a chunk file is a read error, and only of its block', async () => {
    await withMesh([WEST, GATE], async mesh => {
      const west = mesh.node('west')
      const disk = await connectDisk(
        await mesh.volume(mesh.node('gate'), 'rot', '--size', '64M', '--shards', '1')
      )
      const checker = new Checker(seed, 512)
      await checker.writeAll(disk)
      await checker.flush(disk)
      const victim = new SeededRandom(seed).below(512)
      await west.stop()
      flipByte(west.dir, checker.newest(victim))
      await west.up()
      await mesh.converged()

      await expect(checker.check(disk, victim, 'acknowledged')).rejects.toThrow()
      await expect(disk.read(victim * BLOCK_BYTES + 100, 10)).rejects.toThrow()
      const partial = disk.write(victim * BLOCK_BYTES + 512, Buffer.alloc(512), { fua: false })
      await expect(partial).rejects.toThrow()
      for (let block = 0; block < 512; block++) {
        if (block !== victim) expect(await checker.check(disk, block, 'acknowledged')).toEqual([])
      }
      await checker.write(disk, victim)
      expect(await checker.check(disk, victim, 'acknowledged')).toEqual([])
      await disk.close()
    })
  })

  needs(
    'root',
    'mount',
    'qemu-io'
  )('a full disk is ENOSPC to the client, until there is space', async () => {
    await withMesh([WEST, GATE], async mesh => {
      const directory = join(mesh.dir, 'small')
      mesh.onClose(await mountSmall(directory, 96 * MiB))
      const plan = { name: 'small', region: 'eu-north', capacity: '90M', dir: join(directory, 'd') }
      await mesh.add(plan)
      await mesh.converged()
      // Two columns: half of what is written goes to the small one.
      const gate = mesh.node('gate')
      const uri = await mesh.volume(gate, 'full', '--size', '64M', '--shards', '2')
      const other = await connectDisk(
        await mesh.volume(gate, 'other', '--size', '64M', '--shards', '1')
      )
      const checker = new Checker(seed, 256)
      await checker.writeAll(other)

      fillFile(join(directory, 'ballast'))
      const full = await qemuIo(uri, 'write -P 1 0 64M')
      expect(full).toMatch(/No space left on device/)
      expect(await checker.checkAll(other, 'acknowledged')).toEqual([])

      await runOk('mount', ['-o', 'remount,size=256m', directory])
      await expect.poll(() => qemuIo(uri, 'write -P 2 0 64M'), { timeout: 60_000 }).toMatch(/wrote/)
      expect(await qemuIo(uri, 'read -P 2 0 64M')).toMatch(/^read /m)
      await other.close()
    })
  })
})

/** Changes one byte where a chunk file (not the journal) has `content`. */
function flipByte(directory: string, content: Buffer): void {
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    const path = join(directory, name)
    if (!statSync(path).isFile() || /journal/.test(name)) continue
    const bytes = readFileSync(path)
    const at = bytes.indexOf(content)
    if (at === -1) continue
    bytes[at + 2000] = (bytes[at + 2000] ?? 0) ^ 1
    writeFileSync(path, bytes)
    return
  }
  throw new Error('no chunk file has the block')
}

/** Takes what is left of the file system. */
function fillFile(path: string): void {
  const piece = Buffer.alloc(MiB)
  try {
    for (;;) writeFileSync(path, piece, { flag: 'a' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  }
}

async function qemuIo(uri: string, command: string): Promise<string> {
  const { stdout, stderr } = await run('qemu-io', ['-f', 'raw', '-c', command, uri])
  return `${stdout}${stderr}`
}
