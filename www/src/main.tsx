import { render } from 'preact';
import './style/base.css';
import './style/parts.css';
import './style/pages.css';
import { startLive } from './api/live';
import { App } from './app';
import { startStatus } from './model/status';
import { startRouter } from './router';
import { startKeys } from './ui/keys';
import { guardUnload } from './upload/uploader';

startRouter();
startKeys();
guardUnload();
startStatus();
startLive();
render(<App />, document.getElementById('app') as HTMLElement);
