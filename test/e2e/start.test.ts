// Goal: the two commands of the README do what they promise, for people and for scripts.
// Method: run the demo as `npm start` does, look at its exit code, its one line, and what it leaves.
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Checker } from '../support/process-checker.ts'
import { PROGRAMS } from '../support/process-cli.ts'
import { connectDisk } from '../support/process-nbd.ts'
import { seedOfRun } from '../support/process-random.ts'
import { Child, printed, until } from '../support/process-spawn.ts'

const DEMO = join(PROGRAMS, 'demo.js')

describe('npm start', () => {
  it('with --once proves a volume and leaves no process and no file', async () => {
    const scratch = mkdtempSync(join(tmpdir(), 'shoal-start-'))
    const child = new Child('demo', process.execPath, [DEMO, '--once'], {
      env: { TMPDIR: scratch }
    })
    const { code, stdout, stderr } = await child.exited
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout + stderr).toMatch(/64 MiB/)
    expect(readdirSync(scratch)).toEqual([])
    rmSync(scratch, { recursive: true })
  })

  it('with --day and --once or --json says that these do not go together', async () => {
    for (const option of ['--once', '--json']) {
      const { code, stdout, stderr } = await new Child('demo', process.execPath, [
        ...[DEMO, '--day', option]
      ]).exited
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
      expect(stderr).toMatch(/--day .*not with --once or --json/)
    }
  })

  it('with --json --dir prints one line that scripts can use, and ends its nodes', async () => {
    const scratch = mkdtempSync(join(tmpdir(), 'shoal-start-'))
    const dir = join(scratch, 'mesh')
    const child = new Child('demo', process.execPath, [DEMO, '--json', '--dir', dir])
    await printed(child, /\{.*\}\n/, 90_000)
    const ready = JSON.parse(child.stdout) as Ready
    expect(ready.nodes.length).toBeGreaterThanOrEqual(3)
    expect(new Set(ready.nodes.map(node => node.region)).size).toBeGreaterThanOrEqual(3)
    expect(ready.nodes.every(node => isAlive(node.pid) && existsSync(node.socket))).toBe(true)
    const disk = await connectDisk(ready.nbd)
    const checker = new Checker(seedOfRun(), 64)
    await checker.writeAll(disk)
    expect(await checker.checkAll(disk, 'acknowledged')).toEqual([])
    await disk.close()

    child.signal('SIGINT')
    await child.exited
    await until('its nodes have ended', () => ready.nodes.every(node => !isAlive(node.pid)))
    expect(existsSync(dir)).toBe(true)
    rmSync(scratch, { recursive: true })
  })
})

interface Ready {
  nbd: string
  nodes: Array<{ region: string; pid: number; dir: string; socket: string }>
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
