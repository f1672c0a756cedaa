import assert from 'node:assert/strict';
import { test } from 'node:test';
// Not part of what the package exports.
import { events } from '../dist/stream.js';

async function* pieces(...text: string[]): AsyncGenerator<string, void, void> {
    yield* text;
}

async function parse(...text: string[]) {
    const parsed = [];
    for await (const event of events(pieces(...text))) parsed.push(event);
    return parsed;
}

const TEXT =
    ': hello\n\nevent: ready\nid: 1\nretry: 2000\ndata: {"seq":1}\n\nevent:action\r\nid:2\r\ndata: a\r\ndata:b\r\n\r\ndata\r\rdata: ü\r\rid: 9\n\nevent: lost\ndata: x\n';
const EVENTS = [
    { event: 'ready', id: '1', data: '{"seq":1}' },
    { event: 'action', id: '2', data: 'a\nb' },
    { event: 'message', id: undefined, data: '' },
    { event: 'message', id: undefined, data: 'ü' },
];

test('events are the same wherever the text is cut', async () => {
    assert.deepEqual(await parse(TEXT), EVENTS);
    assert.deepEqual(await parse(...TEXT), EVENTS);
    for (let cut = 0; cut <= TEXT.length; cut++) {
        assert.deepEqual(await parse(TEXT.slice(0, cut), TEXT.slice(cut)), EVENTS, `cut at ${cut}`);
    }
});

test('an event without data is none, and one that does not end is none', async () => {
    assert.deepEqual(await parse('event: a\nid: 1\n\n'), []);
    assert.deepEqual(await parse('event: a\ndata: 1\n'), []);
});
