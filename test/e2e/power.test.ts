// Goal: what a FLUSH covered survives loss of power of a storage node, and while the gateway lives
// not even unflushed writes are lost; the VM sees no error.
// Method: a storage node's data directory on a file system of its own, which is shut down under
// load (nothing reaches the medium from then on); kill, mount again, restart. The control shows
// that the method finds a loss: with fdatasync made a no-op, flushed data is gone.
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { MiB } from '../../protocols/limits.ts'
import { Checker } from '../support/process-checker.ts'
import { PowerlessDisk } from '../support/process-filesystem.ts'
import { attach, type ProcessMesh, type ProcessNode, withMesh } from '../support/process-mesh.ts'
import { connectDisk } from '../support/process-nbd.ts'
import { SeededRandom, seedOfRun } from '../support/process-random.ts'
import { until } from '../support/process-spawn.ts'
import { needs } from '../support/process-tools.ts'

const seed = seedOfRun()
const BLOCKS = 2048
const FIRST = [{ name: 'west', region: 'eu-west', capacity: '4G' }]
const GATE = { name: 'gate', region: 'eu-west', capacity: '0' }

describe('loss of power of a storage node', () => {
  needs(
    'root',
    'mount',
    'mkfs.ext4'
  )('is invisible while the gateway lives', async () => {
    await withMesh([...FIRST, GATE], async mesh => {
      const { node, disk: medium } = await addPowerless(mesh)
      const uri = await mesh.volume(mesh.node('gate'), 'vm', '--size', '64M', '--shards', '2')
      const disk = await connectDisk(uri)
      const checker = new Checker(seed, BLOCKS)
      await checker.writeAll(disk)
      let done = false
      const options = {
        random: new SeededRandom(seed),
        inFlight: 8,
        readPercent: 30,
        flushEvery: 40
      }
      const load = checker.load(disk, { ...options, until: () => done })
      for (let round = 0; round < 3; round++) {
        await checker.progress(1000)
        await losePower(node, medium)
        await node.up()
        await mesh.converged()
      }
      done = true
      expect((await load).errors).toEqual([])
      expect(await checker.checkAll(disk, 'acknowledged')).toEqual([])
      await disk.close()
    })
  })

  needs(
    'root',
    'mount',
    'mkfs.ext4'
  )('costs nothing flushed, even if the gateway dies too', async () => {
    expect(await lossAfterFlush({})).toEqual([])
  })

  needs(
    'root',
    'mount',
    'mkfs.ext4',
    'eatmydata'
  )('would be noticed: without real syncs, flushed data is lost (the control)', async () => {
    // The store is found to have gone back in time, and only --rebind makes it serve again.
    const found = await lossAfterFlush({ wrapper: ['eatmydata'], comeBack: rebound })
    expect(found[0]).toMatch(/generation 1, promised 2 to 2/)
  })
})

/** Writes, flushes, then kills the gateway and cuts the power; what is missing afterwards. */
async function lossAfterFlush(how: {
  wrapper?: readonly string[]
  comeBack?: (node: ProcessNode) => Promise<void>
}): Promise<string[]> {
  let missing: string[] = []
  await withMesh([...FIRST, GATE], async mesh => {
    const { node, disk: medium } = await addPowerless(mesh)
    const gate = mesh.node('gate')
    const uri = await mesh.volume(gate, 'vm', '--size', '64M', '--shards', '2')
    const disk = await connectDisk(uri)
    const checker = new Checker(seed, BLOCKS)
    await checker.writeAll(disk)
    await checker.flush(disk)
    await node.stop()
    await node.up({ wrapper: how.wrapper ?? [] })
    // Others learn of this start: they are who tells the store that it went back in time.
    await mesh.converged()
    await checker.writeAll(disk)
    await checker.flush(disk)
    await gate.kill()
    await losePower(node, medium)
    await disk.close()
    await (how.comeBack ?? upAgain)(node)
    await gate.up()
    await mesh.converged()
    const again = await connectDisk(await attach(gate, 'vm', '--take-over'))
    missing = await checker.checkAll(again, 'flushed')
    await again.close()
  })
  return missing
}

function upAgain(node: ProcessNode): Promise<void> {
  return node.up()
}

/**
 * The store is found to have gone back in time: others know a start that it does not. Only an
 * operator's --rebind lets it serve again, from the next start on.
 */
async function rebound(node: ProcessNode): Promise<void> {
  await node.up({ args: ['--rebind'] })
  await until('it has learnt of its later start, and stopped', () => !node.running)
  await node.up()
}

/** A storage node whose data directory can lose power. */
async function addPowerless(mesh: ProcessMesh) {
  const directory = join(mesh.dir, 'medium')
  const disk = await PowerlessDisk.create(join(mesh.dir, 'medium.img'), directory, 512 * MiB)
  mesh.onClose(() => disk.discard())
  const plan = { name: 'weak', region: 'eu-north', capacity: '400M', dir: join(directory, 'node') }
  const node = await mesh.add(plan)
  await mesh.converged()
  return { node, disk }
}

/** Held still first: a node without power answers nobody, not even that its disk is gone. */
async function losePower(node: ProcessNode, medium: PowerlessDisk): Promise<void> {
  await node.freeze()
  medium.losePower()
  await node.kill()
  await medium.unmount()
  await medium.mount()
}
