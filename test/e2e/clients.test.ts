// Goal: ordinary NBD clients use a volume as they use any disk, and read back what they wrote.
// Method: a real mesh of three storage nodes and a gateway; the clients that people have.
import { randomBytes } from 'node:crypto'
import { closeSync, openSync, readFileSync, statSync, truncateSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { GiB, MiB } from '../../protocols/limits.ts'
import { useMesh } from '../support/process-fixture.ts'
import { runOk } from '../support/process-spawn.ts'
import { needs } from '../support/process-tools.ts'

describe('a volume, to its clients', () => {
  const mesh = useMesh()
  const newVolume = (name: string, size = '256M'): Promise<string> =>
    mesh().volume(mesh().node('gate'), name, '--size', size, '--shards', '3')

  needs('nbdinfo')('tells nbdinfo its size and everything it can do', async () => {
    const uri = await newVolume('info', '1G')
    const info = JSON.parse(await runOk('nbdinfo', ['--json', uri])) as NbdInfo
    expect(info).toMatchObject({ protocol: 'newstyle-fixed', structured: true })
    const [found] = info.exports
    expect(found).toMatchObject({
      'export-size': GiB,
      is_read_only: false,
      can_cache: true,
      can_fast_zero: true,
      can_flush: true,
      can_fua: true,
      can_multi_conn: true,
      can_trim: true,
      can_zero: true,
      block_size_preferred: 4096
    })
    expect(found?.contexts).toContain('base:allocation')
    expect(await runOk('nbdinfo', ['--list', uri])).toContain('export="info"')
  })

  needs('qemu-img')('takes an image from qemu-img convert and keeps its holes', async () => {
    const uri = await newVolume('convert')
    const image = sparseImage(mesh().dir, 'convert.img')
    await runOk('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'raw', image, uri])
    await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', image, uri])
    const map = JSON.parse(
      await runOk('qemu-img', ['map', '-f', 'raw', '--output=json', uri])
    ) as MapEntry[]
    expect(map.reduce((sum, entry) => sum + entry.length, 0)).toBe(256 * MiB)
    const dataBytes = map.filter(entry => entry.data).reduce((sum, { length }) => sum + length, 0)
    expect(dataBytes).toBeGreaterThanOrEqual(8 * MiB)
    expect(dataBytes).toBeLessThan(16 * MiB)
  })

  needs('qemu-io')('does what qemu-io asks, aligned or not, and discards', async () => {
    const uri = await newVolume('qemuio')
    const commands = [
      'write -P 0x5a 0 1M',
      'write -P 0x11 1000000 513',
      'read -P 0x5a 0 1000000',
      'read -P 0x11 1000000 513',
      'read -P 0x5a 1000513 48063',
      'write -f -P 0x77 64M 64k',
      'write -z 512k 4096',
      'read -P 0 512k 4096',
      'read -P 0x5a 528384 4096',
      'discard 64M 64k',
      'read -P 0 64M 64k',
      'flush'
    ]
    const output = await qemuIo(uri, commands)
    expect(output).not.toMatch(/fail|error|mismatch/i)
    expect(output.match(/^(read|wrote|discard) /gm)).toHaveLength(commands.length - 1)
  })

  needs('nbdcopy')('gives nbdcopy back the bytes that it copied in', async () => {
    const uri = await newVolume('copy')
    const image = sparseImage(mesh().dir, 'copy.img')
    const back = join(mesh().dir, 'copy-back.img')
    await runOk('nbdcopy', ['--connections=4', image, uri])
    await runOk('nbdcopy', ['--connections=4', uri, back])
    expect(readFileSync(back).equals(readFileSync(image))).toBe(true)
    expect(statSync(back).blocks * 512).toBeLessThan(32 * MiB)
  })

  needs('fio')('passes fio with verify, many in flight and several clients', async () => {
    const uri = await newVolume('fio')
    const args = ['--ioengine=nbd', `--uri=${uri}`, '--verify=crc32c', '--verify_fatal=1']
    const shape = ['--rw=randrw', '--bsrange=512-128k', '--bs_unaligned=1', '--iodepth=32']
    const parts = [0, 1].map(part => [`--name=part${part}`, `--offset=${part * 64}m`, '--size=64m'])
    await runOk('fio', [...args, ...shape, '--verify_backlog=256', ...parts.flat()], {
      timeoutMs: 120_000,
      cwd: mesh().dir
    })
  })
})

interface NbdInfo {
  protocol: string
  structured: boolean
  exports: Array<Record<string, unknown>>
}

interface MapEntry {
  length: number
  data: boolean
}

/** 256 MiB with 8 MiB of random bytes in two places. */
function sparseImage(directory: string, name: string): string {
  const path = join(directory, name)
  const file = openSync(path, 'w')
  writeSync(file, randomBytes(4 * MiB), 0, 4 * MiB, 3 * MiB)
  writeSync(file, randomBytes(4 * MiB), 0, 4 * MiB, 130 * MiB)
  closeSync(file)
  truncateSync(path, 256 * MiB)
  return path
}

function qemuIo(uri: string, commands: readonly string[]): Promise<string> {
  return runOk('qemu-io', ['-f', 'raw', ...commands.flatMap(command => ['-c', command]), uri])
}
