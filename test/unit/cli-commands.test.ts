// Goal: whatever a person types is done, or refused with one clear line, the right exit code and, with
// --json, an error object; nothing that was typed reaches the terminal as a control character.
// Method: the real program in this process with its output captured, where no daemon runs.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Io } from '../../cli/io.ts'
import { runCommand } from '../../cli/program.ts'

const NO_NAMES = [
  '../x',
  '-rf',
  '__proto__',
  '',
  ' ',
  'A',
  'a b',
  'a/b',
  'a..b',
  '.hidden',
  'x'.repeat(64),
  'x'.repeat(5000),
  'a\u0000b',
  'a\nb',
  'a\u001b[2Jb',
  'größe',
  'def42b359bc702348f86ebbb17519fc1'
]
const NO_SIZES = ['0', '-1', '1e3', '9223372036854775808', '4097', '2P', '1.5G', 'x', '', '0x10']

let scratch: string
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'shoal-cli-'))
})
afterAll(() => rmSync(scratch, { recursive: true }))

interface Run {
  readonly code: number
  readonly out: string
  readonly err: string
}

async function shoal(...words: string[]): Promise<Run> {
  let out = ''
  let err = ''
  const io: Io = {
    out: text => {
      out += `${text}\n`
    },
    err: text => {
      err += text
    },
    env: { SHOAL_DIR: join(scratch, 'none') },
    isInteractive: false,
    canDraw: false,
    ask: () => Promise.reject(new Error('nobody is there')),
    onInterrupt: () => () => undefined
  }
  const code = await runCommand(io, words, '1.2.3')
  return { code, out, err }
}

function expectOneLine({ out, err }: Run, what: string): void {
  expect(err.trimEnd().split('\n').length, what).toBe(1)
  expect(err, what).toMatch(/^shoal: /)
  expect(err, what).not.toMatch(/undefined|TypeError|ZodError|Invariant|\bat .*:\d+/)
  expect(err.length, what).toBeLessThan(2500)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  expect(err.trimEnd(), what).not.toMatch(/[\u0000-\u001f\u007f]/)
  expect(out, what).toBe('')
}

describe('bad input', () => {
  it.each(NO_NAMES)('%j names no volume: bad usage, with an example', async name => {
    const run = await shoal('volume', 'create', '--size', '1G', '--', name)
    expect(run.code).toBe(2)
    expectOneLine(run, name)
    expect(run.err).toContain('web-1')
  })

  it.each(NO_NAMES)('%j names no region', async name => {
    const run = await shoal('init', `--region=${name}`, '--name=n', '--capacity=1G')
    if (name.length === 32) return // a good name for a region, though not for a volume
    expect(run.code).toBe(2)
    expectOneLine(run, name)
  })

  it.each(NO_SIZES)('%j is no size', async size => {
    const run = await shoal('volume', 'create', 'web', `--size=${size}`)
    expect(run.code).toBe(2)
    expectOneLine(run, size)
    expect(run.err).toContain('20G')
  })

  it.each([
    ['volume', 'create', 'web', '--size=1G', '--shards=0'],
    ['volume', 'create', 'web', '--size=1G', '--shards=1.5'],
    ['volume', 'create', 'web', '--size=1G', '--iops=-5'],
    ['volume', 'create', 'web', '--size=1G', '--stripe-unit=x'],
    ['volume', 'create', 'web'],
    ['volume', 'create', 'web', '--size'],
    ['volume', 'create', 'web', 'too', 'many', '--size=1G'],
    ['volume', 'resize', 'web', '-1'],
    ['volume', 'nonsense'],
    ['nonsense'],
    ['-rf'],
    ['\u001b[2J'],
    ['status', '--\u001b[2J'],
    ['status', '--json=no'],
    ['init', '--region=r', '--capacity=-1'],
    ['init', '--region=r', '--capacity=1e3'],
    ['init', '--region=r', '--capacity=9223372036854775808'],
    ['init', '--region=r', '--capacity=1G', '--passphrase-file=/nowhere/at/all'],
    ['init', '--capacity=1G'],
    ['join', '--region=r', '--capacity=1G'],
    ['invite', '--valid=forever'],
    ['invite', '--valid=0s'],
    ['revoke', '../x'],
    ['up', '--log-level=loud'],
    ['up', '--io-timeout=1e3'],
    ['up', '--move-rate=fast'],
    ['move', 'web', '--from=a'],
    ['move', 'web', '--from=a', '--to=../b'],
    ['move', 'A', '--from=a', '--to=b'],
    ['move', 'web', '--from=a', '--to=b', '--extents=5-2'],
    ['move', 'web', '--from=a', '--to=b', '--extents=1..2'],
    ['move', 'web', '--from=a', '--to=b', '--hottest=0'],
    ['move', 'web', '--from=a', '--to=b', '--columns=x'],
    ['moves', 'nonsense'],
    ['moves', '--ended=-1'],
    ['moves', 'cancel'],
    ['moves', 'rate', '1e3'],
    ['moves', 'rate', '0'],
    ['drain', '../x'],
    ['drain'],
    ['node', 'give-up', 'A B'],
    ['node', 'nonsense'],
    ['pattern', 'nonsense'],
    ['pattern', 'add', 'web', 'mon 2:00'],
    ['pattern', 'remove', 'web'],
    ['pattern', 'zone', 'web', 'Berlin'],
    ['volume', 'create', 'web', '--size=1G', '--zone=x y'],
    ['volume', 'export', 'web', '-'],
    ['top', '--interval=0s'],
    ['top', '--interval=2h'],
    ['top', '--sort=size'],
    ['top', '--limit=0'],
    ['top', '--limit=999999999'],
    ['top', 'nodes'],
    ['forecast'],
    ['forecast', 'A B'],
    ['forecast', 'web', '--horizon=1m'],
    ['load', 'nonsense'],
    ['load', 'export', '--since=ever'],
    ['load', 'export', '--json=no'],
    ['load', 'import'],
    ['load', 'import', '/nowhere/at/all']
  ])('%j %j %j %j %j is bad usage', async (...words) => {
    const run = await shoal(...words)
    expect(run.code).toBe(2)
    expectOneLine(run, words.join(' '))
  })

  it('is an object on stdout too, when JSON was asked for', async () => {
    for (const words of [
      ['--json', 'volume', 'create', 'A', '--size=1G'],
      ['volume', 'create', 'web', '--size=1e3', '--json'],
      ['volume', 'create', 'web', '--json', '--nonsense']
    ]) {
      const run = await shoal(...words)
      expect(run.code).toBe(2)
      expect(JSON.parse(run.out)).toMatchObject({ error: { code: 'BAD_INPUT' } })
      expect(run.err).toMatch(/^shoal: /)
    }
  })
})

describe('a daemon that does not run', () => {
  it.each([
    ['status'],
    ['invite'],
    ['volume', 'list'],
    ['volume', 'show', 'web'],
    ['volume', 'detach', 'web'],
    ['volume', 'delete', 'web', '--yes'],
    ['volume', 'export', 'web', 'out.img'],
    ['leave', '--yes'],
    ['move', 'web', '--from=a', '--to=b'],
    ['moves'],
    ['moves', 'rate', '50M'],
    ['drain', 'eu-1'],
    ['calibrate'],
    ['pattern', 'list', 'web'],
    ['pattern', 'zone', 'web', 'UTC'],
    ['node', 'give-up', 'eu-1', '--yes'],
    ['revoke', 'eu-1', '--yes'],
    ['top', '--once'],
    ['top'],
    ['forecast', 'web'],
    ['load', 'export']
  ])('%j %j: exit code 1, and the command that starts it', async (...words) => {
    const run = await shoal(...words)
    expect(run.code).toBe(1)
    expectOneLine(run, words.join(' '))
    expect(run.err).toContain(`shoal up --dir ${join(scratch, 'none')}`)
  })

  it('has the code DAEMON_UNREACHABLE for programs', async () => {
    const { out } = await shoal('status', '--json', '--dir', scratch)
    expect(JSON.parse(out)).toMatchObject({
      error: { code: 'DAEMON_UNREACHABLE', socket: join(scratch, 'control.sock') }
    })
  })
})

describe('questions', () => {
  it('that nobody can answer name the option that answers them', async () => {
    for (const words of [
      ['volume', 'delete', 'web'],
      ['revoke', 'eu-1']
    ]) {
      const run = await shoal(...words)
      expect(run.code).toBe(1)
      expect(run.err).toContain('--yes')
    }
  })
})

describe('help', () => {
  const commands = [
    [],
    ['init'],
    ['join'],
    ['up'],
    ['status'],
    ['invite'],
    ['revoke'],
    ['leave'],
    ['move'],
    ['moves'],
    ['moves', 'cancel'],
    ['moves', 'rate'],
    ['drain'],
    ['node'],
    ['node', 'give-up'],
    ['volume'],
    ...['create', 'list', 'show', 'resize', 'rename', 'delete', 'attach', 'detach'].map(name => [
      'volume',
      name
    ]),
    ['volume', 'import'],
    ['volume', 'export'],
    ['top'],
    ['forecast'],
    ['load'],
    ['load', 'export'],
    ['load', 'import']
  ]
  it.each(commands.map(words => [words.join(' '), words] as const))(
    'of "%s" is on stdout, with an example, and no failure',
    async (_title, words) => {
      const run = await shoal(...words, '--help')
      expect(run).toMatchObject({ code: 0, err: '' })
      expect(run.out).toContain('Examples:\n  $ ')
      expect(run.out).not.toContain('until-stdin-closes')
    }
  )

  it('says its version', async () => {
    expect(await shoal('--version')).toEqual({ code: 0, out: '1.2.3\n', err: '' })
  })
})

describe('init', () => {
  it('makes a node, shows the recovery key and a made passphrase once, and not again', async () => {
    const dir = join(scratch, 'node')
    const words = ['--region', 'lab', '--capacity', '1G', '--name', 'lab-1', '--dir', dir, '--json']
    const run = await shoal('init', ...words)
    expect(run.code).toBe(0)
    expect(JSON.parse(run.out)).toMatchObject({
      name: 'lab-1',
      region: 'lab',
      role: 'admin',
      recoveryKey: expect.stringMatching(/^shoalrecovery1/),
      passphrase: expect.stringMatching(/^([a-z2-9]{4}-){5}[a-z2-9]{4}$/)
    })
    const again = await shoal('init', ...words)
    expect(again.code).toBe(1)
    expect(JSON.parse(again.out)).toMatchObject({ error: { code: 'DATA_DIR' } })
  })

  it('refuses to join with what is no invite, and says that it is none', async () => {
    const where = ['--region', 'lab', '--capacity', '1G', '--dir', join(scratch, 'joiner')]
    for (const token of ['x', 'shoal1zzzz', 'a'.repeat(5000)]) {
      const run = await shoal('join', token, ...where)
      expect(run.code).toBe(1)
      expectOneLine(run, token)
      expect(run.err).toContain('invite')
    }
  })
})
