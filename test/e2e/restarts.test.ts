// Goal: a VM survives restarts of storage nodes, and nothing acknowledged is lost when a gateway
// dies, or is stopped and taken over.
// Method: kill -9, SIGSTOP and SIGCONT of real processes under load that checks every read.
import { describe, expect, it, onTestFinished } from 'vitest'
import { Checker } from '../support/process-checker.ts'
import { useMesh } from '../support/process-fixture.ts'
import { attach, type ProcessMesh } from '../support/process-mesh.ts'
import { connectDisk } from '../support/process-nbd.ts'
import { SeededRandom, seedOfRun } from '../support/process-random.ts'
import { runOk } from '../support/process-spawn.ts'
import { needs } from '../support/process-tools.ts'

const seed = seedOfRun()
const BLOCKS = 4096

describe('restarts', () => {
  const mesh = useMesh([
    { name: 'west', region: 'eu-west', capacity: '4G' },
    { name: 'north', region: 'eu-north', capacity: '4G' },
    { name: 'east', region: 'us-east', capacity: '4G' },
    { name: 'gate', region: 'eu-west', capacity: '0' },
    { name: 'spare', region: 'eu-north', capacity: '0' }
  ])

  it('a storage node killed and restarted under load costs no acknowledged write', async () => {
    const uri = await newVolume(mesh(), 'killed')
    const disk = await connectDisk(uri)
    const checker = new Checker(seed, BLOCKS)
    await checker.writeAll(disk)
    let done = false
    const random = new SeededRandom(seed)
    const options = { random, inFlight: 16, readPercent: 40, flushEvery: 50 }
    const load = checker.load(disk, { ...options, until: () => done })
    for (const name of ['north', 'west']) {
      await checker.progress(500)
      await killAndRestart(mesh(), name)
      await checker.progress(500)
    }
    done = true
    expect((await load).errors).toEqual([])
    expect(await checker.checkAll(disk, 'acknowledged')).toEqual([])
    await disk.close()
  })

  needs('fio')('fio --verify survives a storage node killed five times', async () => {
    const uri = await newVolume(mesh(), 'fiokill')
    let kills = 0
    const killing = (async () => {
      for (; kills < 5; kills++) await killAndRestart(mesh(), 'east')
    })()
    do {
      await fioVerify(uri, mesh().dir)
    } while (kills < 5)
    await killing
  })

  it('a gateway killed in mid-write leaves everything it acknowledged to the next one', async () => {
    const disk = await connectDisk(await newVolume(mesh(), 'orphan'))
    const checker = new Checker(seed, BLOCKS)
    const random = new SeededRandom(seed)
    let killed = false
    const options = { random, inFlight: 16, readPercent: 0, flushEvery: 0 }
    const load = checker.load(disk, { ...options, until: () => killed })
    await checker.progress(500)
    await mesh().node('gate').kill()
    killed = true
    await load
    await disk.close()

    const next = await connectDisk(await attach(mesh().node('spare'), 'orphan', '--take-over'))
    expect(await checker.checkAll(next, 'acknowledged')).toEqual([])
    // The old gateway remembers what it had attached, and must not take it back.
    await mesh().node('gate').up()
    await mesh().converged()
    await checker.writeAll(next)
    expect(await checker.checkAll(next, 'acknowledged')).toEqual([])
    await next.close()
  })

  it('a gateway stopped, taken over and continued is refused, and reads nothing old', async () => {
    const { gate, spare } = { gate: mesh().node('gate'), spare: mesh().node('spare') }
    const old = await connectDisk(await newVolume(mesh(), 'stopped'))
    const checker = new Checker(seed, 256)
    await checker.writeAll(old)
    await gate.freeze()
    onTestFinished(() => gate.thaw())
    const pending = [0, 1, 2, 3].map(block => outcomeOf(checker.write(old, block)))
    const pendingRead = outcomeOf(checker.check(old, 9, 'acknowledged'))
    const next = await connectDisk(await attach(spare, 'stopped', '--take-over'))
    for (let block = 4; block < 256; block++) await checker.write(next, block)
    gate.thaw()

    for (const outcome of await Promise.all(pending)) expect(outcome.ok).toBe(false)
    const read = await pendingRead
    expect(read.ok ? read.value : []).toEqual([])
    for (const block of [5, 200]) {
      expect(await outcomeOf(checker.check(old, block, 'acknowledged'))).toMatchObject({
        ok: false
      })
      expect(
        await outcomeOf(old.write(block * 4096, Buffer.alloc(4096), { fua: false }))
      ).toMatchObject({ ok: false })
    }
    expect(await checker.checkAll(next, 'acknowledged')).toEqual([])
    const status = await gate.run('status')
    expect(status.stdout).toMatch(/stopped.*(taken over|fenced)/is)
    await next.close()
    await old.close()
  })

  it('an attach that would steal a volume in use is refused and says who has it', async () => {
    await newVolume(mesh(), 'busy')
    const refused = await mesh().node('spare').run('volume', 'attach', 'busy')
    expect(refused.code).not.toBe(0)
    expect(refused.stderr).toMatch(/--take-over/)
  })

  it('a mesh of which all nodes but one restart on new ports finds itself again', async () => {
    const disk = await connectDisk(await newVolume(mesh(), 'ports'))
    const checker = new Checker(seed, 512)
    await checker.writeAll(disk)
    await disk.close()
    const [stays, ...others] = mesh().nodes
    for (const node of others) await node.kill()
    for (const node of others) await node.up()
    expect(stays?.running).toBe(true)
    await mesh().converged()
    const again = await connectDisk(await attach(mesh().node('gate'), 'ports', '--take-over'))
    expect(await checker.checkAll(again, 'acknowledged')).toEqual([])
    await again.close()
  })
})

function newVolume(mesh: ProcessMesh, name: string): Promise<string> {
  return mesh.volume(mesh.node('gate'), name, '--size', '256M', '--shards', '3')
}

async function killAndRestart(mesh: ProcessMesh, name: string): Promise<void> {
  const node = mesh.node(name)
  await node.kill()
  await node.up()
  await mesh.converged([node, mesh.node('gate')])
}

async function fioVerify(uri: string, cwd: string): Promise<void> {
  await runOk(
    'fio',
    [
      '--name=verify',
      '--ioengine=nbd',
      `--uri=${uri}`,
      '--rw=randwrite',
      '--bs=4k',
      '--iodepth=16',
      '--size=32m',
      '--rate_iops=2000,2000',
      '--verify=crc32c',
      '--verify_fatal=1',
      '--verify_backlog=512'
    ],
    { cwd, timeoutMs: 120_000 }
  )
}

type Settled<T> = { ok: true; value: T } | { ok: false; error: unknown }

function outcomeOf<T>(work: Promise<T>): Promise<Settled<T>> {
  return work.then(
    value => ({ ok: true as const, value }),
    error => ({ ok: false as const, error })
  )
}
