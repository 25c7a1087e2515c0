// Goal: whatever a person gets wrong is a message that says what to do, never a stack, never half a
// change; the daemon stays up.
// Method: every wrong input of the list against a real daemon; afterwards it still serves.
import { chmodSync, cpSync, mkdirSync, readdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { shoal } from '../support/process-cli.ts'
import { useMesh } from '../support/process-fixture.ts'
import { nodeWords, type ProcessMesh, withMesh } from '../support/process-mesh.ts'
import { type Outcome, runOk } from '../support/process-spawn.ts'

const NAMES = [
  '../x',
  '-rf',
  '__proto__',
  '',
  ' ',
  '.',
  'a/b',
  'a..b',
  'A',
  'x'.repeat(5000),
  'a\u0001b',
  'a\nb',
  'a\u001b[2Jb',
  'größe'
]
const SIZES = [
  '0',
  '-1',
  '9223372036854775808',
  '1e3',
  '4097',
  '1.5G',
  '10X',
  '',
  'NaN',
  'Infinity',
  '0x1000',
  '8E'
]
/** Good names by the rule, although JavaScript gives objects such members. */
const NAMES_OF_OBJECTS = ['constructor', 'tostring', 'hasownproperty']

describe('bad input', () => {
  const mesh = useMesh([{ name: 'west', region: 'eu-west', capacity: '1G' }])
  const cli = (...words: string[]): Promise<Outcome> => mesh().first.run(...words)
  const names = async (): Promise<string[]> => {
    const { volumes } = await mesh().first.json<{ volumes: Array<{ name: string }> }>(
      ...['volume', 'list']
    )
    return volumes.map(volume => volume.name)
  }

  it('names that are no names make no volume', async () => {
    for (const name of NAMES) {
      const words = ['--size', '64M', '--', name]
      expectRefusal(await cli('volume', 'create', ...words), `name ${JSON.stringify(name)}`)
    }
    expect(await names()).toEqual([])
  })

  it('names that only look dangerous are names like others', async () => {
    for (const name of NAMES_OF_OBJECTS) {
      await mesh().first.json('volume', 'create', name, '--size', '1M')
    }
    expect((await names()).sort()).toEqual([...NAMES_OF_OBJECTS].sort())
    for (const name of NAMES_OF_OBJECTS) await mesh().first.json('volume', 'delete', name, '--yes')
    expect(await names()).toEqual([])
  })

  it('sizes that are no sizes make no volume', async () => {
    for (const size of SIZES) {
      expectRefusal(await cli('volume', 'create', 'v', `--size=${size}`), `size ${size}`)
    }
    expect(await names()).toEqual([])
  })

  it('more shards than nodes with room says how many there are', async () => {
    const refused = await cli('volume', 'create', 'v', '--size', '64M', '--shards', '4')
    expectRefusal(refused, 'shards')
    expect(refused.stderr).toMatch(/\b1\b/)
    for (const shards of ['0', '-1', '1.5', 'x', '100000']) {
      const words = ['--size', '64M', `--shards=${shards}`]
      expectRefusal(await cli('volume', 'create', 'v', ...words), `shards ${shards}`)
    }
  })

  it('a name that is taken, and a volume that is not there, are said so', async () => {
    await mesh().first.json('volume', 'create', 'taken', '--size', '64M')
    const again = await cli('volume', 'create', 'taken', '--size', '64M')
    expectRefusal(again, 'taken')
    expect(again.stderr).toMatch(/taken/)
    for (const command of ['show', 'attach', 'detach', 'delete']) {
      const words = command === 'delete' ? ['--yes'] : []
      expectRefusal(await cli('volume', command, 'absent', ...words), command)
    }
    await mesh().first.json('volume', 'delete', 'taken', '--yes')
  })

  it('a mesh without capacity makes no volume, and says so', async () => {
    await withMesh([{ name: 'empty', region: 'eu-west', capacity: '0' }], async empty => {
      const refused = await empty.first.run('volume', 'create', 'v', '--size', '64M')
      expectRefusal(refused, 'no capacity')
      expect(refused.stderr).toMatch(/capacity|room|storage/)
    })
  })

  it('a data directory of another mesh is not joined over', async () => {
    const dir = join(mesh().dir, 'foreign')
    const words = nodeWords('f', 'eu-west', '1G')
    expect((await shoal(dir, ['init', ...words])).code).toBe(0)
    expectRefusal(await shoal(dir, ['join', await mesh().invite(), ...words]), 'join')
    expectRefusal(await shoal(dir, ['init', ...words]), 'init')
  })

  it('a data directory that another daemon uses is refused', async () => {
    const refused = await shoal(mesh().first.dir, ['up'])
    expectRefusal(refused, 'in use')
    expect(refused.stderr).toMatch(/another daemon|in use/)
  })

  it('a copied data directory is refused', async () => {
    const copy = join(mesh().dir, 'copy')
    cpSync(mesh().first.dir, copy, { recursive: true, filter: path => !/\.sock$/.test(path) })
    const refused = await shoal(copy, ['up'])
    expectRefusal(refused, 'copy')
    expect(refused.stderr).toMatch(/copy|copied/)
  })

  it('a data directory that may not be written is refused', async () => {
    const dir = join(mesh().dir, 'locked')
    await makeUnwritable(mesh(), dir)
    const words = nodeWords('l', 'eu-west', '1G')
    const refused = await shoal(dir, ['init', ...words])
    expectRefusal(refused, 'not writable')
    expect(refused.stderr).toMatch(/writ|read-only/)
    expect(readdirSync(dir)).toEqual([])
  })

  it('a port that is taken is named', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await new Promise(resolve => server.once('listening', resolve))
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const dir = join(mesh().dir, 'port')
    const listen = ['--listen', `/ip4/127.0.0.1/tcp/${port}`]
    const words = ['init', '--name', 'p', ...listen, '--region', 'eu-west', '--capacity', '1G']
    expect((await shoal(dir, words)).code).toBe(0)
    const refused = await shoal(dir, ['up'])
    expectRefusal(refused, 'port')
    expect(refused.stderr).toContain(String(port))
    await new Promise(resolve => server.close(resolve))
  })

  it('a daemon that does not run is named by its socket, with what to do', async () => {
    const dir = join(mesh().dir, 'port')
    const refused = await shoal(dir, ['status'])
    expectRefusal(refused, 'daemon not running')
    expect(refused.stderr).toMatch(/shoal up/)
    expectRefusal(await shoal(join(mesh().dir, 'nowhere'), ['status']), 'no directory')
    expectRefusal(await shoal(join(mesh().dir, 'nowhere'), ['up']), 'no directory')
  })

  it('regions and names of nodes are checked like names of volumes', async () => {
    for (const [i, name] of NAMES.entries()) {
      const dir = join(mesh().dir, `bad${i}`)
      const rest = ['--capacity=1G', '--name=n']
      expectRefusal(await shoal(dir, ['init', `--region=${name}`, ...rest]), `region ${name}`)
    }
    for (const capacity of ['-1', '1e3', 'x', '9223372036854775808']) {
      const words = ['init', '--region=r', '--name=n', `--capacity=${capacity}`]
      expectRefusal(await shoal(join(mesh().dir, 'badcap'), words), `capacity ${capacity}`)
    }
  })

  it('after all this the daemon still answers', async () => {
    expect(mesh().first.running).toBe(true)
    expect((await cli('status')).code).toBe(0)
  })
})

/** Root may write where no permission is set, but not to a file system that is read-only. */
async function makeUnwritable(mesh: ProcessMesh, dir: string): Promise<void> {
  mkdirSync(dir)
  if (process.geteuid?.() !== 0) return chmodSync(dir, 0o555)
  await runOk('mount', ['-t', 'tmpfs', '-o', 'ro', 'tmpfs', dir])
  mesh.onClose(() => runOk('umount', [dir]).then(() => undefined))
}

/** Not done, in words for a person: no stack, no raw error object. */
function expectRefusal(outcome: Outcome, what: string): void {
  expect(outcome.signal, what).toBe(null)
  expect(outcome.code, what).toBeGreaterThan(0)
  expect(outcome.stderr.trim(), what).not.toBe('')
  expect(outcome.stderr, what).not.toMatch(/^\s+at .*:\d+:\d+/m)
  expect(outcome.stderr, what).not.toMatch(/InvariantError|TypeError|ZodError|undefined/)
  expect(outcome.stderr.length, what).toBeLessThan(8000)
}
