// Goal: what `shoal volume` promises beside attach: import and export keep every byte and every
// hole, a volume grows while it is used, a deleted one gives its space back.
// Method: the CLI against a real mesh.
import { randomBytes } from 'node:crypto'
import { closeSync, openSync, readFileSync, statSync, truncateSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { MiB } from '../../protocols/limits.ts'
import { Checker } from '../support/process-checker.ts'
import { useMesh } from '../support/process-fixture.ts'
import { attach } from '../support/process-mesh.ts'
import { connectDisk } from '../support/process-nbd.ts'
import { seedOfRun } from '../support/process-random.ts'
import { until } from '../support/process-spawn.ts'

const seed = seedOfRun()

describe('shoal volume', () => {
  const mesh = useMesh()

  it('import and export give back the same image, sparse where it was', async () => {
    const gate = mesh().node('gate')
    const image = join(mesh().dir, 'image.raw')
    const file = openSync(image, 'w')
    writeSync(file, randomBytes(3 * MiB), 0, 3 * MiB, 5 * MiB + 512)
    closeSync(file)
    truncateSync(image, 128 * MiB)
    const imported = await gate.json<{ sha256: string }>('volume', 'import', 'image', image)
    const back = join(mesh().dir, 'back.raw')
    const exported = await gate.json<{ sha256: string }>('volume', 'export', 'image', back)
    expect(exported.sha256).toBe(imported.sha256)
    expect(readFileSync(back).equals(readFileSync(image))).toBe(true)
    expect(statSync(back).blocks * 512).toBeLessThan(8 * MiB)
  })

  it('export and import refuse a volume that is attached', async () => {
    const gate = mesh().node('gate')
    await mesh().volume(gate, 'used', '--size', '16M')
    const target = join(mesh().dir, 'used.raw')
    for (const words of [
      ['export', 'used', target],
      ['import', 'used', join(mesh().dir, 'image.raw'), '--overwrite']
    ]) {
      const refused = await gate.run('volume', ...words)
      expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/attached/) })
    }
  })

  it('a volume grows while it is attached: new connections see the new size', async () => {
    const gate = mesh().node('gate')
    const uri = await mesh().volume(gate, 'grows', '--size', '64M', '--shards', '3')
    const before = await connectDisk(uri)
    const checker = new Checker(seed, 2048)
    await checker.writeAll(before)
    const resized = await gate.json<{ next: string[] }>('volume', 'resize', 'grows', '192M')
    expect(resized.next.join('\n')).toMatch(/QEMU[\s\S]*virsh[\s\S]*nbd-client/)
    const after = await connectDisk(uri)
    expect(after.sizeBytes).toBe(192 * MiB)
    const data = Buffer.alloc(4096, 7)
    await after.write(192 * MiB - 4096, data)
    expect((await after.read(192 * MiB - 4096, 4096)).equals(data)).toBe(true)
    expect(await checker.checkAll(before, 'acknowledged')).toEqual([])
    await before.close()
    await after.close()
    for (const size of ['64M', '192M', '0', '-1']) {
      expect((await gate.run('volume', 'resize', 'grows', '--', size)).code).not.toBe(0)
    }
  })

  it('a detached volume attaches elsewhere without force, with all its data', async () => {
    const gate = mesh().node('gate')
    const disk = await connectDisk(await mesh().volume(gate, 'moves', '--size', '64M'))
    const checker = new Checker(seed, 512)
    await checker.writeAll(disk)
    await disk.close()
    await gate.json('volume', 'detach', 'moves')
    const there = await connectDisk(await attach(mesh().node('west'), 'moves'))
    expect(await checker.checkAll(there, 'acknowledged')).toEqual([])
    await there.close()
  })

  it('deleting a volume gives its space back to the file systems', async () => {
    const gate = mesh().node('gate')
    const disk = await connectDisk(
      await mesh().volume(gate, 'gone', '--size', '64M', '--shards', '3')
    )
    const used = (): number => mesh().nodes.reduce((sum, node) => sum + node.diskBytes(), 0)
    const before = used()
    const piece = randomBytes(MiB)
    for (let at = 0; at < 64 * MiB; at += MiB) await disk.write(at, piece)
    await disk.flush()
    await disk.close()
    expect(used()).toBeGreaterThan(before + 60 * MiB)
    await gate.json('volume', 'detach', 'gone')
    await gate.json('volume', 'delete', 'gone', '--yes')
    await until('the space is free', () => used() < before + 16 * MiB)
    expect((await gate.run('volume', 'show', 'gone')).code).not.toBe(0)
  })
})
